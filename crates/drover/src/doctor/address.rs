//! The address to listen on: free, or ours already.

use std::io;
use std::net::SocketAddr;

use super::finding::Finding;
use super::http::Probe;

const NAME: &str = "address";

/// What was seen there.
#[derive(Debug)]
pub(crate) enum Facts {
    /// Nobody listens.
    Free,
    /// Drover answers.
    Ours,
    /// Somebody else listens.
    Taken,
    /// It cannot be taken.
    Refused(io::Error),
}

/// Tries to listen; asks whoever listens there who it is.
pub(crate) async fn look(scheme: &str, listen: SocketAddr, probe: &Probe) -> Facts {
    match tokio::net::TcpListener::bind(listen).await {
        Ok(_) => Facts::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let mut local = listen;
            if listen.ip().is_unspecified() {
                local.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            if probe.is_drover_here(&format!("{scheme}://{local}")).await.is_ok() { Facts::Ours } else { Facts::Taken }
        }
        Err(error) => Facts::Refused(error),
    }
}

/// Says whether the server can listen there.
pub(crate) fn judge(listen: SocketAddr, facts: &Facts) -> Finding {
    match facts {
        Facts::Free => Finding::ok(NAME, format!("{listen} is free: no server runs here")),
        Facts::Ours => Finding::ok(NAME, format!("{listen}: drover answers there")),
        Facts::Taken => {
            let next =
                format!("find out who it is: ss -ltnp 'sport = :{}'; or choose another with --listen", listen.port());
            Finding::fail(NAME, format!("{listen} is taken by another program"), next)
        }
        Facts::Refused(error) => {
            let next = "choose an address of this machine and a port above 1023 with --listen";
            Finding::fail(NAME, format!("{listen} cannot be listened on: {error}"), next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[tokio::test]
    async fn a_port_that_is_free_taken_or_not_ours() {
        let probe = Probe::new(std::path::Path::new("/nowhere")).unwrap();
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        // Whoever connects is shown the door: not the answer of drover.
        let stranger = tokio::spawn(async move { while taken.accept().await.is_ok() {} });
        assert_eq!(judge(address, &look("http", address, &probe).await).level, Level::Fail);
        stranger.abort();
        let _ = stranger.await;
        assert_eq!(judge(address, &look("http", address, &probe).await).level, Level::Ok);
        let elsewhere: SocketAddr = "192.0.2.1:8080".parse().unwrap();
        assert_eq!(judge(elsewhere, &look("http", elsewhere, &probe).await).level, Level::Fail);
        assert_eq!(judge(address, &Facts::Ours).level, Level::Ok);
    }
}

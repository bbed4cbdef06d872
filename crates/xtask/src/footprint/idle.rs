//! The memory of a running server with one idle agent beside it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIME: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How every enrolment token begins.
const TOKEN_PREFIX: &str = "ft1.";

/// From `/proc/PID/status`.
pub(super) struct Memory {
    /// `VmRSS`: the highest of the samples.
    pub(super) resident_kib: u64,
    /// `VmHWM`: the highest since the process began.
    pub(super) peak_kib: u64,
}

/// Starts a server on a data folder of its own, measures it, enrols an agent, and measures that.
pub(super) fn measure(server: &Path, agent: &Path) -> Result<(Memory, Memory)> {
    let folder = Folder::create()?;
    let address = free_address()?;
    let mut command = Command::new(server);
    command.arg("serve").arg("--data").arg(folder.0.join("server")).arg("--listen").arg(address.to_string());
    let mut serving = Process::start("drover serve", &mut command, &folder.0.join("serve.log"))?;
    serving.wait_until("answers on /healthz", || is_healthy(address))?;
    let server_memory = serving.idle_memory()?;

    let token = serving.find_in_log(TOKEN_PREFIX)?;
    let config = folder.0.join("agent.toml");
    fs::write(&config, agent_config(&folder.0, address, &token))?;
    let mut command = Command::new(agent);
    command.arg("run").arg("--config").arg(&config);
    let mut running = Process::start("drover-agent", &mut command, &folder.0.join("agent.log"))?;
    let agent_memory = running.idle_memory()?;
    Ok((server_memory, agent_memory))
}

/// What a device is given: where the server is, and what lets it in.
fn agent_config(folder: &Path, address: SocketAddr, token: &str) -> String {
    let data = folder.join("agent");
    format!(
        "server = \"http://{address}\"\ndata_dir = \"{}\"\nhardware_id = \"footprint-1\"\ndevice_type = \"bench\"\n\
         enrolment_token = \"{token}\"\n",
        data.display()
    )
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, POLL_INTERVAL)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut reply = String::new();
        stream.take(4096).read_to_string(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| reply.split_whitespace().nth(1) == Some("200"))
}

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("drover-footprint-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("failed to make {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A program that ends with its owner.
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| format!("failed to start {name}: {error}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} ended with {status}; it wrote:\n{}", self.name, self.log()).into()),
        }
    }

    fn wait_until(&mut self, what: &str, is_met: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !is_met() {
            self.check_alive()?;
            if Instant::now() > deadline {
                let seconds = READY_TIMEOUT.as_secs();
                return Err(
                    format!("{}: not so after {seconds} s: {what}; it wrote:\n{}", self.name, self.log()).into()
                );
            }
            thread::park_timeout(POLL_INTERVAL);
        }
        Ok(())
    }

    /// The first word of the log that begins like this.
    fn find_in_log(&self, prefix: &str) -> Result<String> {
        let found = find_word(&self.log(), prefix);
        found.ok_or_else(|| format!("{} printed no word that begins with {prefix}", self.name).into())
    }

    /// Samples the memory until the idle time is over.
    fn idle_memory(&mut self) -> Result<Memory> {
        let until = Instant::now() + IDLE_TIME;
        let mut memory = Memory { resident_kib: 0, peak_kib: 0 };
        while Instant::now() < until {
            self.check_alive()?;
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
            memory.resident_kib = memory.resident_kib.max(field_kib(&status, "VmRSS:")?);
            memory.peak_kib = field_kib(&status, "VmHWM:")?;
            thread::park_timeout(POLL_INTERVAL);
        }
        Ok(memory)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The first word that begins like this, without quotation marks around it.
fn find_word(text: &str, prefix: &str) -> Option<String> {
    let is_mark = |letter: char| letter.is_whitespace() || "\"'`,".contains(letter);
    text.split(is_mark).find(|word| word.starts_with(prefix)).map(str::to_owned)
}

/// A number in KiB from the text of `/proc/PID/status`.
fn field_kib(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or_else(|| format!("no {name} in status"))?;
    Ok(number.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_without_what_surrounds_it() {
        let log = "a device's token is shown once\n  enrolment token: `ft1.acme.x_1.s-2`\n";
        assert_eq!(find_word(log, TOKEN_PREFIX).as_deref(), Some("ft1.acme.x_1.s-2"));
        assert_eq!(find_word("nothing here, not even soft1.x", TOKEN_PREFIX), None);
    }

    #[test]
    fn memory_is_read_from_the_status_of_a_process() -> Result<()> {
        let status = fs::read_to_string("/proc/self/status")?;
        let (resident_kib, peak_kib) = (field_kib(&status, "VmRSS:")?, field_kib(&status, "VmHWM:")?);
        assert!(0 < resident_kib && resident_kib <= peak_kib, "{resident_kib} of {peak_kib}");
        assert!(field_kib(&status, "VmNothing:").is_err());
        Ok(())
    }
}

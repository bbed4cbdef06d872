//! Static groups.

use drover_testkit::{Profile, TestServer, on_both_profiles};

on_both_profiles! {
    async fn nothing(profile: Profile) {
        let server = TestServer::start(profile).await;
        server.device("A", None).await;
        assert_eq!(server.admin().groups(10).await.unwrap().items.len(), 0);
    }
}

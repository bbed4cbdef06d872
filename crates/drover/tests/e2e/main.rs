//! The main job with the real programs: `drover serve`, `drover-agent` and the command line, killed on purpose.

mod agent;
mod bench;
mod checkup;
mod fleet;
mod hostile;
mod moved;
mod operator;
mod pair;
mod server;
mod story;
mod tls;
mod upload;
mod wait;

use server::Profile;

#[tokio::test]
async fn an_agent_killed_in_mid_download_and_mid_install_ends_with_the_right_bytes_local() {
    story::killed_twice(Profile::Local).await;
}

#[tokio::test]
async fn an_agent_killed_in_mid_download_and_mid_install_ends_with_the_right_bytes_cluster() {
    story::killed_twice(Profile::Cluster).await;
}

#[tokio::test]
async fn a_bad_release_is_rolled_back_by_the_agent_and_the_server_killed_meanwhile_goes_on_local() {
    story::bad_release_and_killed_server(Profile::Local).await;
}

#[tokio::test]
async fn a_bad_release_is_rolled_back_by_the_agent_and_the_server_killed_meanwhile_goes_on_cluster() {
    story::bad_release_and_killed_server(Profile::Cluster).await;
}

#[tokio::test]
async fn a_backup_is_restored_under_another_name_and_runs_a_rollout_local() {
    moved::restored_elsewhere(Profile::Local).await;
}

#[tokio::test]
async fn a_backup_is_restored_under_another_name_and_runs_a_rollout_cluster() {
    moved::restored_elsewhere(Profile::Cluster).await;
}

#[tokio::test]
async fn of_two_servers_one_is_killed_in_mid_stage_ten_times() {
    pair::killed_ten_times().await;
}

#[tokio::test]
async fn an_upload_killed_in_the_middle_sends_only_what_is_missing_local() {
    upload::killed_in_the_middle(Profile::Local).await;
}

#[tokio::test]
async fn an_upload_killed_in_the_middle_sends_only_what_is_missing_cluster() {
    upload::killed_in_the_middle(Profile::Cluster).await;
}

#[tokio::test]
async fn an_installation_moves_from_one_machine_to_postgres_and_s3() {
    moved::moved_to_cluster().await;
}

#[tokio::test]
async fn the_doctor_finds_nothing_at_a_healthy_server_local() {
    checkup::healthy(Profile::Local).await;
}

#[tokio::test]
async fn the_doctor_finds_nothing_at_a_healthy_server_cluster() {
    checkup::healthy(Profile::Cluster).await;
}

#[tokio::test]
async fn the_doctor_finds_every_fault_of_a_broken_set_up() {
    checkup::broken();
}

#[test]
fn settings_are_shown_with_their_sources_and_without_secrets() {
    checkup::settings_shown();
}

#[tokio::test]
async fn source_000s_curl_works_word_for_word() {
    story::presign_with_curl().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_benchmark_of_update_checks_measures_what_it_says() {
    bench::checks().await;
}

#[tokio::test]
async fn a_lost_password_is_replaced() {
    story::password_reset().await;
}

#[tokio::test]
async fn a_device_and_an_operator_know_their_server_and_refuse_another_in_its_place() {
    tls::man_in_the_middle().await;
}

#[tokio::test]
async fn a_certificate_is_replaced_while_a_device_downloads() {
    tls::new_certificate().await;
}

#[tokio::test]
async fn old_versions_and_ciphers_of_tls_are_refused() {
    tls::old_tls().await;
}

#[tokio::test]
async fn connections_held_for_nothing_keep_nobody_out_plain() {
    hostile::plain().await;
}

#[tokio::test]
async fn connections_held_for_nothing_keep_nobody_out_tls() {
    hostile::tls().await;
}

#[test]
fn mixes_of_back_ends_that_nobody_tests_are_refused() {
    story::refused_mixes();
}

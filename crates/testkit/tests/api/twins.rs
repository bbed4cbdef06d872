//! Two customers of one server who have the same of everything: the same hardware ids, groups, people, keys, firmware,
//! rollouts and objects by name, in different numbers. Nothing of one is visible to, countable by or guessable from the
//! other.
//!
//! Most of it is asked of every route of the `OpenAPI` document, so a new route is asked as well. When one leads to a noun
//! that the twins do not have, the test says so: give it to both in `founding.rs`.
//!
//! One name is not the twins' own: that of a tenant. People log in with it, so there is one tenant of a name on a server,
//! and whoever may make tenants is told when a name is taken.

mod ask;
mod counters;
mod devices;
mod errors;
mod exports;
mod founding;
mod lists;
mod names;
mod presigned;
mod references;
mod world;

use drover_testkit::{Profile, on_both_profiles};

use world::Twins;

on_both_profiles! {
    async fn whatever_is_read_holds_nothing_of_the_twin(profile: Profile) {
        let twins = Twins::new(profile).await;
        lists::answers_hold_nothing_of_the_twin(&twins).await;
        lists::no_page_leads_over_to_the_twin(&twins).await;
        exports::each_has_an_audit_log_of_its_own(&twins).await;
    }

    async fn each_twin_counts_its_own(profile: Profile) {
        let twins = Twins::new(profile).await;
        counters::each_counts_its_own(&twins).await;
        counters::figures_of_the_node_name_no_tenant(&twins).await;
    }

    /// Whatever could be counted, on whatever route: it would move when the other twin does something.
    async fn nothing_moves_when_the_twin_acts(profile: Profile) {
        let twins = Twins::at_one_moment(profile).await;
        counters::nothing_moves_when_the_twin_acts(&twins).await;
    }

    async fn what_is_the_twins_is_like_what_is_nobodys(profile: Profile) {
        let twins = Twins::new(profile).await;
        errors::an_id_of_the_twin_is_like_one_that_nothing_has(&twins).await;
        errors::a_query_for_the_twins_things_finds_what_one_for_nothing_finds(&twins).await;
        errors::the_twins_tenant_is_no_place_to_work_in(&twins).await;
        references::a_body_cannot_refer_to_the_twins_things(&twins).await;
    }

    async fn a_name_of_the_twin_is_free(profile: Profile) {
        let twins = Twins::new(profile).await;
        names::names_are_each_ones_own(&twins).await;
        names::versions_and_keys_are_each_ones_own(&twins).await;
        names::hardware_ids_are_each_ones_own(&twins).await;
        names::idempotency_keys_are_each_ones_own(&twins).await;
    }

    async fn a_log_in_tells_nothing_of_the_twin(profile: Profile) {
        let twins = Twins::new(profile).await;
        names::a_log_in_tells_nothing_of_the_twin(&twins).await;
        names::wrong_passwords_count_for_one_twin_only(&twins).await;
    }

    async fn a_signed_address_opens_ones_own_alone(profile: Profile) {
        let twins = Twins::new(profile).await;
        presigned::an_address_is_of_ones_own_bytes_and_works_for_its_bearer(&twins).await;
        presigned::nobody_gets_an_address_of_the_twins(&twins).await;
        presigned::a_changed_address_is_refused_whether_there_is_something_or_not(&twins).await;
        presigned::addresses_for_parts_are_below_ones_own_tenant(&twins).await;
    }

    async fn a_device_belongs_to_one_twin_only(profile: Profile) {
        let twins = Twins::new(profile).await;
        devices::a_device_is_offered_its_own_tenants_firmware(&twins).await;
        devices::a_device_cannot_report_for_the_twins(&twins).await;
        devices::a_manifest_of_the_twin_means_nothing(&twins).await;
        devices::a_token_with_the_twins_tenant_in_it_is_no_token(&twins).await;
    }
}

//! The trees of tenants and groups, users, what they may do, and their keys.

use drover_db::{is_foreign_key_violation, on_both};
use drover_types::{GrantId, GroupId, LoginId, Role, TenantId};

use super::access::{api_key, user};
use super::fixture::{Scope, acme, at, commit, digest, refused, uuid};
use crate::api_keys::ApiKeyRow;
use crate::grants::{GrantRow, HeldRow, Without};
use crate::logins::NewLogin;
use crate::{api_keys, grants, group_tree, groups, logins, tenants, users};

/// A tenant below `parent`.
async fn below<'t>(parent: Scope<'t>, n: u16, name: &str) -> Scope<'t> {
    let tenant = TenantId(uuid(n));
    commit!(parent.db, |tx| tenants::insert(tx, tenant, Some(parent.tenant), name, at(n.into())));
    Scope { db: parent.db, tenant }
}

/// Gives user `n` of the tenant a role.
async fn grant(scope: Scope<'_>, n: u16, id: u16, role: Role, there: TenantId, group_id: Option<GroupId>) -> GrantRow {
    let (id, user_id) = (GrantId(uuid(id)), user(n, "").id);
    let row = GrantRow { id, user_id, role, scope_tenant_id: there, group_id, created_at: at(5) };
    commit!(scope.db, |tx| grants::insert(tx, scope.tenant, &row));
    row
}

async fn held(scope: Scope<'_>, n: u16, there: Scope<'_>) -> Vec<HeldRow> {
    grants::in_tenant(scope.db, scope.tenant, user(n, "").id, there.tenant, 99).await.unwrap()
}

async fn within(scope: Scope<'_>, top: GroupId, group: GroupId) -> bool {
    group_tree::is_within(scope.db, scope.tenant, top, group).await.unwrap()
}

on_both! {
    async fn tenants_form_a_tree(test: TestDb) {
        let top = acme(&test).await;
        let other = Scope::new(top.db, 2, "other").await;
        let middle = below(top, 3, "middle").await;
        let leaf = below(middle, 4, "leaf").await;
        let page = tenants::page(top.db, top.tenant, None, 9).await.unwrap();
        let found: Vec<_> = page.iter().map(|row| (row.tenant_id, row.parent_id)).collect();
        assert_eq!(found, [
            (leaf.tenant, Some(middle.tenant)),
            (middle.tenant, Some(top.tenant)),
            (top.tenant, None),
        ]);
        let rest = tenants::page(top.db, top.tenant, Some(leaf.tenant), 1).await.unwrap();
        assert_eq!(rest[0].tenant_id, middle.tenant);
        assert_eq!(tenants::level(top.db, leaf.tenant).await.unwrap(), 3);
        assert_eq!(tenants::level(top.db, TenantId(uuid(99))).await.unwrap(), 0);
        for (tenant, expected) in [(leaf, true), (top, true), (other, false)] {
            assert_eq!(tenants::is_within(top.db, top.tenant, tenant.tenant).await.unwrap(), expected);
        }
        assert!(!tenants::is_within(top.db, leaf.tenant, top.tenant).await.unwrap());

        let error = refused!(top.db, |tx| tenants::delete(tx, middle.tenant));
        assert!(is_foreign_key_violation(&error), "a tenant is below it: {error}");
        leaf.device(10, 0).await;
        let error = refused!(top.db, |tx| tenants::delete(tx, leaf.tenant));
        assert!(is_foreign_key_violation(&error), "a device is in it: {error}");
        let empty = below(middle, 5, "empty").await;
        assert!(commit!(top.db, |tx| tenants::delete(tx, empty.tenant)));
        assert!(!commit!(top.db, |tx| tenants::delete(tx, empty.tenant)));
        assert!(tenants::get(top.db, empty.tenant).await.unwrap().is_none());
        commit!(top.db, |tx| tenants::rename(tx, leaf.tenant, "branch"));
        assert_eq!(tenants::get(top.db, leaf.tenant).await.unwrap().unwrap().name, "branch");
    }

    async fn groups_form_a_tree(test: TestDb) {
        let acme = acme(&test).await;
        let tenant = acme.tenant;
        let [a, b, c, d] = [acme.group(20, &[]).await, acme.group(21, &[]).await, acme.group(22, &[]).await, acme.group(23, &[]).await];
        commit!(acme.db, |tx| group_tree::attach(tx, tenant, b, a));
        commit!(acme.db, |tx| group_tree::attach(tx, tenant, c, b));
        assert!(within(acme, a, c).await && within(acme, c, c).await && !within(acme, c, a).await);
        assert_eq!(groups::get(acme.db, tenant, c).await.unwrap().unwrap().parent_id, Some(b));
        assert_eq!(group_tree::level(acme.db, tenant, c).await.unwrap(), 3);
        assert_eq!(group_tree::height(acme.db, tenant, a).await.unwrap(), 2);

        // b moves with what is below it.
        commit!(acme.db, |tx| group_tree::detach(tx, tenant, b));
        assert!(within(acme, b, c).await && !within(acme, a, b).await && !within(acme, a, c).await);
        commit!(acme.db, |tx| group_tree::attach(tx, tenant, b, d));
        assert!(within(acme, d, c).await);
        assert_eq!(group_tree::height(acme.db, tenant, a).await.unwrap(), 0);

        let error = refused!(acme.db, |tx| groups::delete(tx, tenant, b));
        assert!(is_foreign_key_violation(&error), "a group is below it: {error}");
        assert!(commit!(acme.db, |tx| groups::delete(tx, tenant, c)));
        assert!(commit!(acme.db, |tx| groups::delete(tx, tenant, b)));
        assert_eq!(group_tree::level(acme.db, tenant, b).await.unwrap(), 0);
    }

    async fn grants_hold_in_the_tenant_and_below(test: TestDb) {
        let top = acme(&test).await;
        let other = Scope::new(top.db, 2, "other").await;
        let child = below(top, 3, "child").await;
        for (scope, n) in [(top, 10), (other, 10)] {
            commit!(top.db, |tx| users::insert(tx, scope.tenant, &user(n, "admin")));
        }
        let group = top.group(20, &[]).await;
        let twin = child.group(20, &[]).await;
        let wide = grant(top, 10, 30, Role::Viewer, top.tenant, None).await;
        grant(top, 10, 31, Role::Operator, top.tenant, Some(group)).await;
        grant(top, 10, 32, Role::FleetAdmin, child.tenant, Some(twin)).await;
        let viewer = HeldRow { role: Role::Viewer, group_id: None };
        let operator = HeldRow { role: Role::Operator, group_id: Some(group) };
        let fleet_admin = HeldRow { role: Role::FleetAdmin, group_id: Some(twin) };
        assert_eq!(held(top, 10, top).await, [viewer, operator]);
        assert_eq!(held(top, 10, child).await, [viewer, fleet_admin], "a group is of its own tenant");
        assert!(held(top, 10, other).await.is_empty());
        assert!(held(other, 10, top).await.is_empty(), "the same id in another tenant is another user");

        let all = grants::of_user(top.db, top.tenant, wide.user_id, 9).await.unwrap();
        assert_eq!((all.len(), all[0]), (3, wide));
        assert_eq!(grants::get(top.db, top.tenant, wide.user_id, wide.id).await.unwrap(), Some(wide));
        assert!(!commit!(top.db, |tx| grants::delete(tx, other.tenant, wide.user_id, wide.id)));
        assert!(commit!(top.db, |tx| grants::delete(tx, top.tenant, wide.user_id, wide.id)));
        assert!(commit!(top.db, |tx| groups::delete(tx, top.tenant, group)));
        assert!(held(top, 10, top).await.is_empty(), "a grant goes with its group");
        commit!(top.db, |tx| grants::delete_of_scope(tx, child.tenant));
        assert!(held(top, 10, child).await.is_empty());
    }

    async fn owners_are_counted_from_the_tenant_up(test: TestDb) {
        let top = acme(&test).await;
        let child = below(top, 3, "child").await;
        commit!(top.db, |tx| users::insert(tx, top.tenant, &user(10, "above")));
        commit!(top.db, |tx| users::insert(tx, child.tenant, &user(11, "own")));
        let above = grant(top, 10, 30, Role::Owner, top.tenant, None).await;
        let own = grant(child, 11, 31, Role::Owner, child.tenant, None).await;
        let group = child.group(20, &[]).await;
        grant(child, 11, 32, Role::Owner, child.tenant, Some(group)).await;
        let count = async |scope: Scope<'_>, without| grants::count_owners(top.db, scope.tenant, without).await.unwrap();
        assert_eq!(count(child, Without::Grant(GrantId(uuid(99)))).await, 2, "an owner of a group owns no tenant");
        assert_eq!(count(child, Without::Grant(own.id)).await, 1);
        assert_eq!(count(child, Without::User(above.user_id)).await, 1);
        assert_eq!(count(top, Without::User(above.user_id)).await, 0);
        commit!(top.db, |tx| users::set_disabled(tx, top.tenant, above.user_id, Some(at(50))));
        assert_eq!(count(child, Without::Grant(own.id)).await, 0, "who is disabled owns nothing");
    }

    async fn a_disabled_user_is_locked_out(test: TestDb) {
        let acme = acme(&test).await;
        let (tenant, person) = (acme.tenant, user(1, "anna"));
        commit!(acme.db, |tx| users::insert(tx, tenant, &person));
        let login = NewLogin {
            id: LoginId(uuid(11)),
            user_id: person.id,
            secret_sha256: digest(3),
            expires_at: at(100),
            address: Some("192.0.2.7".to_owned()),
        };
        let second = NewLogin { id: LoginId(uuid(12)), ..login.clone() };
        for login in [&login, &second] {
            commit!(acme.db, |tx| logins::insert(tx, tenant, login, at(20)));
        }
        let key = api_key(13);
        commit!(acme.db, |tx| api_keys::insert(tx, tenant, &key));
        let orphan = ApiKeyRow { user_id: None, ..api_key(14) };
        commit!(acme.db, |tx| api_keys::insert(tx, tenant, &orphan));
        let living = async |id| api_keys::living(acme.db, tenant, id).await.unwrap();
        let found = living(key.id).await.unwrap();
        assert_eq!((found.scopes, found.addresses), (key.scopes, key.addresses));
        assert!(living(orphan.id).await.is_none(), "a key is somebody's");
        commit!(acme.db, |tx| api_keys::used(tx, tenant, key.id, at(60)));
        commit!(acme.db, |tx| api_keys::used(tx, tenant, key.id, at(59)));
        assert_eq!(living(key.id).await.unwrap().last_used_at, Some(at(60)));

        commit!(acme.db, |tx| users::set_disabled(tx, tenant, person.id, Some(at(50))));
        assert!(logins::get(acme.db, tenant, login.id).await.unwrap().is_none());
        assert!(living(key.id).await.is_none());
        commit!(acme.db, |tx| users::set_disabled(tx, tenant, person.id, None));
        assert!(logins::get(acme.db, tenant, login.id).await.unwrap().is_some());
        assert!(living(key.id).await.is_some());

        let open = logins::of_user(acme.db, tenant, person.id, at(50), None, 9).await.unwrap();
        assert_eq!(open.iter().map(|row| row.id).collect::<Vec<_>>(), [second.id, login.id]);
        assert_eq!(open[0].address.as_deref(), Some("192.0.2.7"));
        assert!(!commit!(acme.db, |tx| logins::revoke_own(tx, tenant, user(2, "").id, login.id, at(51))));
        assert!(commit!(acme.db, |tx| logins::revoke_own(tx, tenant, person.id, login.id, at(51))));
        commit!(acme.db, |tx| logins::revoke_others(tx, tenant, person.id, Some(second.id), at(52)));
        assert_eq!(logins::of_user(acme.db, tenant, person.id, at(50), None, 9).await.unwrap().len(), 1);
        commit!(acme.db, |tx| logins::revoke_others(tx, tenant, person.id, None, at(53)));
        assert!(logins::of_user(acme.db, tenant, person.id, at(50), None, 9).await.unwrap().is_empty());

        commit!(acme.db, |tx| api_keys::revoke_of_user(tx, tenant, person.id, at(54)));
        assert!(living(key.id).await.is_none());
        commit!(acme.db, |tx| logins::delete_of_user(tx, tenant, person.id));
        commit!(acme.db, |tx| users::rename(tx, tenant, person.id, "berta"));
        assert_eq!(users::page(acme.db, tenant, None, 9).await.unwrap()[0].username, "berta");
        commit!(acme.db, |tx| users::delete(tx, tenant, person.id));
        assert!(users::get(acme.db, tenant, person.id).await.unwrap().is_none());
    }
}

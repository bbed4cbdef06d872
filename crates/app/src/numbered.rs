//! Items of a set with their places in it.

use std::collections::BTreeMap;

use drover_types::TenantId;

/// An item and its place in the set.
pub(crate) type Numbered<'a, T> = (usize, &'a T);

/// The items of each tenant, in their order: no statement is for more than one tenant.
pub(crate) fn by_tenant<T>(items: &[T], tenant: impl Fn(&T) -> TenantId) -> BTreeMap<TenantId, Vec<Numbered<'_, T>>> {
    let mut of_tenants: BTreeMap<TenantId, Vec<Numbered<'_, T>>> = BTreeMap::new();
    for numbered in items.iter().enumerate() {
        of_tenants.entry(tenant(numbered.1)).or_default().push(numbered);
    }
    of_tenants
}

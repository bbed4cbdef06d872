//! Devices, as operators see them.

use std::collections::{BTreeMap, HashMap};

use drover_api::{
    ComponentView, Device, DeviceCount, DeviceCountFilter, DeviceFilter, DeviceUpdate, Page, PageQuery, UpdateSession,
};
use drover_db::{Conn, Tx};
use drover_store::device_attributes::{self, AttributeRow};
use drover_store::device_components::{self, DeviceComponentRow};
use drover_store::device_tags::{self, TagRow};
use drover_store::devices::{self, DeviceRow};
use drover_store::groups::{self, MemberRow};
use drover_store::update_sessions;
use drover_types::{ComponentName, DeviceId, GroupId, Permission, TenantId, Version};

use crate::audit::Entry;
use crate::device_attributes::by_name;
use crate::page::Paging;
use crate::{Access, App, Caller, Error, Reach, Result, validate};

/// Groups that a device can be put into at once.
const GROUPS_MAX: usize = 100;

/// Bytes of a device's metadata as JSON.
const METADATA_MAX_BYTES: usize = 16 * 1024;

impl App {
    /// The tenant's devices, newest first.
    pub async fn device_list(&self, caller: &Caller, query: &DeviceFilter) -> Result<Page<Device>> {
        let access = caller.authorize(Permission::DevicesRead)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let Some(filter) = self.device_filter(&access, query).await? else {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        };
        let filter = devices::Filter { after: paging.after, ..filter };
        let Access { tenant, reach } = access;
        let mut rows = if filter.conditions.is_empty() {
            devices::page(&self.db, tenant, &reach, &filter, paging.rows()).await?
        } else {
            let turn = self.turn(tenant).await?;
            devices::page(self.db.questions(&turn), tenant, &reach, &filter, paging.rows()).await?
        };
        let next_cursor = paging.cut(&mut rows, |row| row.id);
        let items = shown_rows(&self.db, tenant, &reach, rows).await?;
        Ok(Page { items: self.with_sightings(tenant, items).await, next_cursor })
    }

    /// How many devices in reach there are.
    pub async fn device_count(&self, caller: &Caller, query: DeviceCountFilter) -> Result<DeviceCount> {
        let access = caller.authorize(Permission::DevicesRead)?;
        let DeviceCountFilter { device_type, status, group_id, filter, rsql } = query;
        let query = DeviceFilter { device_type, status, group_id, filter, rsql, ..DeviceFilter::default() };
        let Some(filter) = self.device_filter(&access, &query).await? else { return Ok(DeviceCount { count: 0 }) };
        let turn = self.turn(access.tenant).await?;
        let count = devices::count(self.db.questions(&turn), access.tenant, &access.reach, &filter).await?;
        Ok(DeviceCount { count: u64::try_from(count).unwrap_or(0) })
    }

    /// What to list; none when a group is asked for that is out of reach.
    async fn device_filter(&self, access: &Access, query: &DeviceFilter) -> Result<Option<devices::Filter>> {
        if let Some(group) = query.group_id
            && !access.reach.has_group(&self.db, access.tenant, group).await?
        {
            return Ok(None);
        }
        let now = self.now();
        let condition = match (&query.filter, &query.rsql) {
            (None, None) => None,
            (Some(text), None) => Some(self.condition(access, "filter", text).await?),
            (None, Some(text)) => Some(self.condition_from_rsql(access, "rsql", text).await?),
            (Some(_), Some(_)) => return Err(Error::field("rsql", "say it either here or in filter, not in both")),
        };
        let mut filter = devices::Filter {
            after: None,
            device_type: query.device_type.clone(),
            status: query.status,
            hardware_id: query.hardware_id.clone(),
            group: query.group_id,
            conditions: condition.into_iter().collect(),
        };
        if let Some(group) = query.group_id
            && let Some(condition) = self.group_condition(access.tenant, group, now).await?
        {
            filter.group = None;
            filter.conditions.push(condition);
        }
        Ok(Some(filter))
    }

    /// One device.
    pub async fn device_view(&self, caller: &Caller, id: DeviceId) -> Result<Device> {
        let access = caller.authorize(Permission::DevicesRead)?;
        self.device(&access, id).await
    }

    async fn device(&self, access: &Access, id: DeviceId) -> Result<Device> {
        access.check_device(&self.db, id).await?;
        let device = shown(&self.db, access.tenant, &access.reach, id).await?;
        let mut heard = self.with_sightings(access.tenant, vec![device]).await;
        heard.pop().ok_or_else(|| Error::not_found("device", id))
    }

    /// Memory knows of later signs of life than the database.
    async fn with_sightings(&self, tenant: TenantId, mut devices: Vec<Device>) -> Vec<Device> {
        let ids: Vec<DeviceId> = devices.iter().map(|device| device.id).collect();
        let heard = self.hot.last_seen(tenant, &ids).await;
        for (device, heard) in devices.iter_mut().zip(heard) {
            device.last_seen = device.last_seen.max(heard);
        }
        devices
    }

    /// Changes what operators say about a device.
    pub async fn device_update(&self, caller: &Caller, id: DeviceId, body: DeviceUpdate) -> Result<Device> {
        let access = caller.authorize(Permission::DevicesWrite)?;
        let groups = body.group_ids.is_some().then(|| caller.authorize(Permission::GroupsWrite)).transpose()?;
        let tenant = access.tenant;
        let metadata = body.metadata.as_ref().map(metadata_json).transpose()?;
        if let Some(group_ids) = &body.group_ids {
            validate::at_most("group_ids", group_ids, GROUPS_MAX)?;
        }
        let (now, seen) = (self.now(), access.clone());
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    let before = locked(tx, tenant, id).await?;
                    if let Some(metadata) = metadata {
                        devices::set_metadata(tx, tenant, id, &metadata, now).await?;
                    }
                    if let (Some(group_ids), Some(groups)) = (body.group_ids, groups) {
                        set_groups(tx, &groups, id, &group_ids).await?;
                        if !access.reach.has_device(&mut *tx, tenant, id).await? {
                            return Err(Error::field(
                                "group_ids",
                                "must keep the device in a group that you may change",
                            ));
                        }
                    }
                    let after = shown(&mut *tx, tenant, &Reach::Tenant, id).await?;
                    let entry = Entry::changed("device", "update", id, &before, &after)?;
                    audit.record(tx, entry.with("hardware_id", after.hardware_id)).await
                })
            })
            .await?;
        self.device(&seen, id).await
    }

    /// Forgets a device: its token stops working, its sessions go.
    pub async fn device_delete(&self, caller: &Caller, id: DeviceId) -> Result<()> {
        let access = caller.authorize(Permission::DevicesDelete)?;
        let now = self.now();
        let _news = self.feed.announce();
        let mut audit = self.audit(caller, access.tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    let tenant = access.tenant;
                    let before = locked(tx, tenant, id).await?;
                    crate::transitions::delete_device(tx, tenant, id, now).await?;
                    let entry = Entry::deleted("device", id, &before)?;
                    audit.record(tx, entry.with("hardware_id", before.hardware_id)).await
                })
            })
            .await
    }

    /// The updates of a device, newest first.
    pub async fn device_updates(
        &self,
        caller: &Caller,
        id: DeviceId,
        query: &PageQuery,
    ) -> Result<Page<UpdateSession>> {
        let access = caller.authorize(Permission::DevicesRead)?;
        let tenant = access.tenant;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        access.check_device(&self.db, id).await?;
        if devices::get(&self.db, tenant, id).await?.is_none() {
            return Err(Error::not_found("device", id));
        }
        let rows = update_sessions::of_device(&self.db, tenant, id, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, crate::update_sessions::view))
    }
}

/// The device as the API shows it: of its groups, those in reach.
pub(crate) async fn shown(conn: impl Into<Conn<'_>>, tenant: TenantId, reach: &Reach, id: DeviceId) -> Result<Device> {
    let mut conn = conn.into();
    let row = devices::get(conn.reborrow(), tenant, id).await?.ok_or_else(|| Error::not_found("device", id))?;
    let mut shown = shown_rows(conn, tenant, reach, vec![row]).await?;
    shown.pop().ok_or_else(|| Error::not_found("device", id))
}

/// As the audit log has it: with all groups, and held still until the transaction ends.
pub(crate) async fn locked(tx: &mut Tx, tenant: TenantId, id: DeviceId) -> Result<Device> {
    devices::lock(tx, tenant, id).await?;
    shown(tx, tenant, &Reach::Tenant, id).await
}

async fn shown_rows(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    rows: Vec<DeviceRow>,
) -> Result<Vec<Device>> {
    let mut conn = conn.into();
    let ids: Vec<DeviceId> = rows.iter().map(|row| row.id).collect();
    let components = device_components::of_devices(conn.reborrow(), tenant, &ids).await?;
    let members = groups::of_devices(conn.reborrow(), tenant, reach, &ids).await?;
    let mut targets = HashMap::new();
    for target in update_sessions::targets_of_devices(conn.reborrow(), tenant, &ids).await? {
        targets.entry(target.device_id).or_insert(target.version);
    }
    let mut attributes: HashMap<DeviceId, Vec<AttributeRow>> = HashMap::new();
    for attribute in device_attributes::of_devices(conn.reborrow(), tenant, &ids).await? {
        attributes.entry(attribute.device_id).or_default().push(attribute);
    }
    let tags = device_tags::of_devices(conn, tenant, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let target = targets.remove(&row.id);
            let attributes = attributes.remove(&row.id).unwrap_or_default();
            Ok(Device {
                attributes: by_name(attributes),
                tags: tags_of(row.id, &tags),
                ..view(row, &components, &members, target)?
            })
        })
        .collect()
}

/// Puts a device into exactly these of the groups in reach. It has to be in reach itself: whoever may change a group may
/// not draw in what he has no right over.
async fn set_groups(tx: &mut Tx, access: &Access, device: DeviceId, group_ids: &[GroupId]) -> Result<()> {
    let Access { tenant, reach } = access;
    let tenant = *tenant;
    access.check_device(&mut *tx, device).await?;
    groups::leave_all(tx, tenant, reach, device).await?;
    for group in group_ids {
        let there = reach.has_group(&mut *tx, tenant, *group).await?;
        let row = if there { groups::get(&mut *tx, tenant, *group).await? } else { None };
        match row {
            None => return Err(Error::field("group_ids", format!("there is no group {group}"))),
            Some(row) if row.condition.is_some() => {
                let detail = format!("{} is a dynamic group: its condition says who is in it", row.name);
                return Err(Error::field("group_ids", detail));
            }
            Some(_) => groups::add(tx, tenant, *group, device).await?,
        };
    }
    Ok(())
}

fn metadata_json(metadata: &BTreeMap<String, serde_json::Value>) -> Result<String> {
    if metadata.len() > 64 {
        return Err(Error::field("metadata", "must have at most 64 keys"));
    }
    let json = serde_json::to_string(metadata).map_err(|error| Error::internal("write metadata", error))?;
    if json.len() > METADATA_MAX_BYTES {
        return Err(Error::field("metadata", format!("must have at most {METADATA_MAX_BYTES} bytes as JSON")));
    }
    Ok(json)
}

fn tags_of(device: DeviceId, tags: &[TagRow]) -> Vec<String> {
    let mut own: Vec<String> = tags.iter().filter(|tag| tag.device_id == device).map(|tag| tag.tag.clone()).collect();
    own.sort_unstable();
    own
}

fn view(
    row: DeviceRow,
    components: &[DeviceComponentRow],
    members: &[MemberRow],
    target_version: Option<Version>,
) -> Result<Device> {
    let components: Vec<ComponentView> = components
        .iter()
        .filter(|component| component.device_id == row.id)
        .map(|component| ComponentView {
            component: component.component.clone(),
            version: component.version.clone(),
            manifest_sha256: component.manifest_sha256,
            reported_at: component.reported_at,
        })
        .collect();
    let main = components.iter().find(|component| component.component == ComponentName::main());
    let current_version = main.and_then(|main| main.version.clone());
    let group_ids: Vec<GroupId> =
        members.iter().filter(|member| member.device_id == row.id).map(|member| member.group_id).collect();
    let metadata =
        serde_json::from_str(&row.metadata).map_err(|error| Error::internal("read a device's metadata", error))?;
    Ok(Device {
        id: row.id,
        hardware_id: row.hardware_id,
        device_type: row.device_type,
        current_version,
        target_version,
        status: row.status,
        last_seen: row.last_seen_at,
        group_id: if let [only] = group_ids[..] { Some(only) } else { None },
        group_ids,
        components,
        metadata,
        attributes: BTreeMap::new(),
        tags: Vec::new(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

//! Who may do what: the one decision that every use case asks for.

use drover_types::{DeviceId, ErrorKind, TenantId};

use crate::{Actor, Caller, Error, Result};

/// What a use case is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See the fleet: devices, groups, firmware, rollouts, sessions.
    ReadFleet,
    /// Change devices and groups.
    ManageDevices,
    /// Upload, publish and delete firmware and objects.
    ManageFirmware,
    /// Create, start, stop and take back rollouts.
    ManageRollouts,
    /// Make and revoke API keys, enrolment tokens and release keys.
    ManageCredentials,
    /// Ask for a time-limited address of an object.
    Presign,
    /// Do what a device does for itself: ask, report, download what it was offered.
    ActAsDevice,
}

impl Caller {
    /// The tenant to work in, if the caller may do `action` there.
    pub fn authorize(&self, action: Action) -> Result<TenantId> {
        let allowed = match &self.actor {
            Actor::User { .. } | Actor::ApiKey { .. } => action != Action::ActAsDevice,
            Actor::PresignKey => action == Action::Presign,
            Actor::Device { .. } => action == Action::ActAsDevice,
        };
        if allowed {
            return Ok(self.tenant);
        }
        let detail = match action {
            Action::ActAsDevice => "this call is for devices; use a device's token",
            _ => "this credential may not do that; log in as a user or use an API key",
        };
        Err(Error::new(ErrorKind::Forbidden, "forbidden", detail))
    }

    /// The tenant and the device, if the caller is one.
    pub fn authorize_device(&self) -> Result<(TenantId, DeviceId)> {
        let tenant = self.authorize(Action::ActAsDevice)?;
        match &self.actor {
            Actor::Device { id, .. } => Ok((tenant, *id)),
            _ => Err(Error::new(ErrorKind::Forbidden, "forbidden", "this call is for devices; use a device's token")),
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_types::{ApiKeyId, Timestamp};

    use super::*;

    const ACTIONS: [Action; 7] = [
        Action::ReadFleet,
        Action::ManageDevices,
        Action::ManageFirmware,
        Action::ManageRollouts,
        Action::ManageCredentials,
        Action::Presign,
        Action::ActAsDevice,
    ];

    fn allowed(actor: Actor) -> Vec<Action> {
        let tenant = TenantId::generate(Timestamp::from_micros(0), 0);
        let caller = Caller { tenant, actor };
        ACTIONS.into_iter().filter(|action| caller.authorize(*action).is_ok()).collect()
    }

    #[test]
    fn each_credential_reaches_only_what_it_is_for() {
        let time = Timestamp::from_micros(0);
        assert_eq!(allowed(Actor::PresignKey), [Action::Presign]);
        let device = DeviceId::generate(time, 1);
        assert_eq!(
            allowed(Actor::Device { id: device, device_type: "truck".into(), last_seen_at: None }),
            [Action::ActAsDevice]
        );
        let key = ApiKeyId::generate(time, 2);
        assert_eq!(allowed(Actor::ApiKey { id: key, name: "ci".into() }), ACTIONS[..6]);
    }
}

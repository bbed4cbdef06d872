//! How the twins come to what they have.

use std::collections::BTreeMap;

use drover_api::{
    ApiKeyCreate, DeviceAttributesChange, DeviceUpdate, EnrolmentTokenCreate, Firmware, GrantCreate, GrantScope,
    GroupWrite, LoginRequest, PresignRequest, ReleaseKeyCreate, Rollout, TenantCreate, UserCreate,
};
use drover_cli::Client;
use drover_protocol::Offer;
use drover_testkit::{Device, Release, TestServer, answer, eventually, failure, private_key};
use drover_trust::PrivateKey;
use drover_types::{
    AttributeValue, FailureClass, GroupId, KeyAlgorithm, Role, RolloutId, RolloutState, SessionState, StageState,
};
use reqwest::Method;
use serde_json::Value;

use super::world::{EU, Kind, OWNER, SHARED_BYTES, Twin};
use crate::scene::plan;
use crate::tenants::stored;

/// A twin that does not have everything yet.
pub(super) struct Founding<'s> {
    server: &'s TestServer,
    kind: Kind,
    owner: Client,
    token: String,
    ids: BTreeMap<&'static str, String>,
}

impl<'s> Founding<'s> {
    pub(super) async fn new(server: &'s TestServer, kind: Kind) -> Self {
        let tenant = TenantCreate { name: kind.mark.to_owned(), parent_id: None };
        let tenant = server.admin().create_tenant(&tenant).await.unwrap().id;
        let (username, password) = (OWNER.to_owned(), kind.password());
        let owner =
            UserCreate { username: username.clone(), password: Some(password.clone()), role: Some(Role::Owner) };
        server.admin().with_tenant(tenant).create_user(&owner).await.unwrap();
        let login = LoginRequest { tenant: Some(kind.mark.to_owned()), username, password };
        // More than one, so that their list has pages.
        server.stranger().login(&login).await.unwrap();
        let token = server.stranger().login(&login).await.unwrap().token;
        let mut ids: BTreeMap<_, _> = [("name", "app.bin"), ("number", "1"), ("tag", "canary")]
            .map(|(noun, name)| (noun, name.to_owned()))
            .into();
        ids.insert("tenants", tenant.to_string());
        Self { server, kind, owner: server.stranger().with_token(&token), token, ids }
    }

    fn note(&mut self, noun: &'static str, id: &impl ToString) {
        self.ids.insert(noun, id.to_string());
    }

    pub(super) async fn twin(mut self) -> Twin {
        self.people().await;
        let api_key = self.api_keys().await;
        let enrolment_token = self.enrolment_tokens().await;
        let (release_key, firmware) = self.firmware().await;
        let devices = self.devices(&enrolment_token, &firmware[0]).await;
        let lab = self.groups(&devices).await;
        let spring = self.spring(&firmware[1], lab, &devices).await;
        let (summer, offer) = self.summer(&firmware[2], &devices).await;
        self.objects().await;
        self.all_is_numbered().await;
        let Self { kind, owner, token, ids, .. } = self;
        let tenant = ids["tenants"].clone();
        Twin {
            kind,
            tenant,
            owner,
            token,
            api_key,
            enrolment_token,
            release_key,
            firmware,
            devices,
            spring,
            summer,
            offer,
            ids,
        }
    }

    async fn people(&mut self) {
        for username in self.kind.names("berta") {
            let body = UserCreate { username, password: None, role: Some(Role::Viewer) };
            let user = self.owner.create_user(&body).await.unwrap().user;
            let grant = GrantCreate { role: Role::Operator, scope: GrantScope::default() };
            self.note("grants", &self.owner.create_grant(user.id, &grant).await.unwrap().id);
            self.note("users", &user.id);
        }
        for n in 0..self.kind.extras {
            let below = TenantCreate { name: format!("{}-{n}", self.kind.mark), parent_id: None };
            self.owner.create_tenant(&below).await.unwrap();
        }
        let logins = self.owner.logins(9).await.unwrap().items;
        let idle = logins.iter().find(|login| !login.current).unwrap();
        self.note("logins", &idle.id);
    }

    async fn api_keys(&mut self) -> String {
        let mut tokens = Vec::new();
        for name in self.kind.names("ci") {
            let made = self.owner.create_api_key(&ApiKeyCreate { name, ..ApiKeyCreate::default() }).await.unwrap();
            self.note("api-keys", &made.api_key.id);
            tokens.push(made.token);
        }
        tokens.remove(0)
    }

    async fn enrolment_tokens(&mut self) -> String {
        let mut tokens = Vec::new();
        for name in self.kind.names("line 1") {
            let body = EnrolmentTokenCreate { name, device_type: None, max_uses: None, expires_at: None };
            let made = self.owner.create_enrolment_token(&body).await.unwrap();
            self.note("enrolment-tokens", &made.enrolment_token.id);
            tokens.push(made.token);
        }
        tokens.remove(0)
    }

    async fn firmware(&mut self) -> (PrivateKey, Vec<Firmware>) {
        let mut keys = Vec::new();
        for name in self.kind.names("release") {
            let key = private_key(KeyAlgorithm::EcdsaP256);
            let body = ReleaseKeyCreate { name, public_key: key.public_key().to_pem() };
            self.note("release-keys", &self.owner.add_release_key(&body).await.unwrap().id);
            keys.push(key);
        }
        let own = (0..self.kind.extras).map(|n| format!("9.{}.{n}", self.kind.devices));
        let versions: Vec<String> = ["1.0.0", "1.1.0", "1.2.0"].map(str::to_owned).into_iter().chain(own).collect();
        let mut firmware = Vec::new();
        for (version, release_counter) in versions.iter().zip(1..) {
            firmware.push(self.publish(&self.kind.release(version, release_counter, &keys[0])).await);
        }
        self.note("firmware", &firmware[0].id);
        (keys.swap_remove(0), firmware)
    }

    async fn publish(&self, release: &Release) -> Firmware {
        let draft = self.owner.create_firmware(&release.create_body()).await.unwrap();
        for (name, bytes) in release.artifacts() {
            let path = format!("/api/v1/firmware/{}/artifacts/{name}", draft.id);
            let put = self.server.request(Method::PUT, &path).bearer_auth(&self.token).body(bytes.to_vec());
            assert_eq!(answer(put).await.status, 200);
        }
        self.owner.publish_firmware(draft.id).await.unwrap()
    }

    /// The first `offers` of them are in the EU.
    async fn devices(&mut self, enrolment_token: &str, first: &Firmware) -> Vec<Device> {
        let mut devices = Vec::new();
        for number in 1..=self.kind.devices {
            let device = self.server.device_with(enrolment_token, &format!("TRUCK-{number:02}"), Some(first)).await;
            let region = if number <= self.kind.offers { "eu" } else { "us" };
            let text = |text: &str| AttributeValue::Text(text.to_owned());
            let set = [("region".to_owned(), text(region)), ("site".to_owned(), text(self.kind.mark))].into();
            let change = DeviceAttributesChange { set, unset: Vec::new() };
            self.owner.change_device_attributes(device.id, &change).await.unwrap();
            for tag in ["canary", self.kind.mark] {
                self.owner.add_device_tag(device.id, tag).await.unwrap();
            }
            let metadata = Some([("owner".to_owned(), Value::from(self.kind.mark))].into());
            self.owner.update_device(device.id, &DeviceUpdate { metadata, group_ids: None }).await.unwrap();
            device.heartbeat(Vec::new()).await;
            devices.push(device);
        }
        self.note("devices", &devices[0].id);
        devices
    }

    /// The static one with all devices; one by condition has the same name in both, too.
    async fn groups(&mut self, devices: &[Device]) -> GroupId {
        let lab = GroupWrite { name: "lab".into(), ..GroupWrite::default() };
        let lab = self.owner.create_group(&lab).await.unwrap().id;
        self.owner.add_to_group(lab, devices.iter().map(|device| device.id).collect()).await.unwrap();
        for name in self.kind.names("europe") {
            let group = GroupWrite { name, condition: Some(EU.to_owned()), ..GroupWrite::default() };
            self.owner.create_group(&group).await.unwrap();
        }
        self.note("groups", &lab);
        lab
    }

    /// Over: some devices took it, the others failed and said why.
    async fn spring(&mut self, firmware: &Firmware, lab: GroupId, devices: &[Device]) -> Rollout {
        let mut body = plan(firmware, &[100]);
        body.name = "spring".into();
        body.target_groups = vec![lab];
        (body.success_threshold, body.rollback_threshold, body.min_sample) = (Some(0.0), Some(1.0), Some(100));
        let id = self.owner.create_rollout(&body).await.unwrap().id;
        self.running(id).await;
        for (index, device) in devices.iter().enumerate() {
            let offer = device.check().await.expect("an offer");
            if index + self.kind.failures < devices.len() {
                device.install(&offer).await;
                continue;
            }
            let why = drover_protocol::Failure { message: self.kind.mark.to_owned(), ..failure(FailureClass::Install) };
            device.report_failure(offer.session_id, SessionState::Failed, Some(why)).await.expect("it is taken");
        }
        self.note("rollouts", &id);
        self.when(id, "spring to be over", |rollout| rollout.status == RolloutState::Completed).await
    }

    /// Under way: who was offered it is at work, the others wait.
    async fn summer(&mut self, firmware: &Firmware, devices: &[Device]) -> (Rollout, Offer) {
        let mut body = plan(firmware, &[100]);
        body.name = "summer".into();
        let id = self.owner.create_rollout(&body).await.unwrap().id;
        self.running(id).await;
        let mut offers = Vec::new();
        for device in &devices[..self.kind.offers] {
            offers.push(device.check().await.expect("an offer"));
        }
        let offer = offers.remove(0);
        self.note("update-sessions", &offer.session_id);
        (self.owner.rollout(id).await.unwrap(), offer)
    }

    async fn running(&self, id: RolloutId) {
        self.owner.start_rollout(id).await.unwrap();
        self.when(id, "the rollout to run", |rollout| rollout.stages[0].status == StageState::Running).await;
    }

    async fn when(&self, id: RolloutId, what: &str, fits: impl Fn(&Rollout) -> bool) -> Rollout {
        eventually(what, async || Some(self.owner.rollout(id).await.unwrap()).filter(|rollout| fits(rollout))).await
    }

    async fn objects(&mut self) {
        stored(self.server, &self.token, "shared.bin", SHARED_BYTES).await;
        stored(self.server, &self.token, "own.bin", self.kind.mark).await;
        for n in 0..self.kind.extras {
            stored(self.server, &self.token, &format!("{}/{n}.bin", self.kind.mark), self.kind.mark).await;
        }
        for name in self.kind.names("part.bin") {
            let upload = crate::uploads::begin(self.server, &self.token, &name).await;
            self.note("uploads", &upload.id);
        }
        let body = PresignRequest { object_key: "own.bin".into(), expires_in: None };
        let url = self.owner.presign(&body).await.unwrap().url;
        // Where the server does not serve objects itself, the route has none for anybody.
        let (_, key) = url.split_once("/t/").expect("the address has the key of the object");
        self.note("key", &format!("t/{key}"));
    }

    /// Entries of the audit log get their numbers a moment after what they tell of.
    async fn all_is_numbered(&self) {
        let filter = drover_api::AuditFilter { action: Some("upload.create".into()), ..Default::default() };
        eventually("all entries to be numbered", async || {
            let entries = self.owner.audit(&filter, 9).await.unwrap().items;
            (entries.len() == self.kind.extras + 1).then_some(())
        })
        .await;
    }
}

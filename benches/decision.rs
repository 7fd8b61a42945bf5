//! What the pure rules cost: the decision, the shape of a key, its digest and its proofs.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::{hint::black_box, net::IpAddr, sync::Arc};

use divan::Bencher;
use latchgate::domain::{
    access::{Action, Holder, Method, Networks, Principal, Rights, Target, decide},
    boundary::Boundary,
    id::{OrgId, ProjectId, TeamId},
    key::{
        secret::{KeyHash, MacKey, RootSecret},
        state::Life,
        token::{Digest, KeyShape, Token},
    },
    permission::{Permission, PermissionSet},
    profile::Profile,
    time::Timestamp,
};

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
/// The cost of a new key's hash where the configuration says nothing else.
const DEFAULT_COST: u32 = 10;
const NEEDED: Permission = Permission::new(3);

fn client() -> IpAddr {
    [10, 255, 0, 7].into()
}

/// Networks of which the last one admits the client, so that all of them are looked at.
fn networks(count: u8) -> Networks {
    let others = (1..count).map(|number| format!("198.51.{number}.0/24"));
    let list: Vec<_> = others.chain((count > 0).then(|| "10.0.0.0/8".to_owned())).collect();
    Networks::parse(&list).unwrap()
}

fn principal(boundary: Boundary, projects: &[ProjectId], networks: Networks) -> Principal {
    Principal {
        method: Method::ApiKey,
        credential: "a1b2c3d4".into(),
        life: Life::begin(NOW, Some(NOW.after(std::time::Duration::from_secs(86_400)))).into(),
        activity: None,
        rights: Arc::new(Rights {
            boundary,
            team_projects: projects.into(),
            user: None,
            role: None,
            permissions: PermissionSet::only(NEEDED),
            holder: Holder::Present,
            networks,
        }),
    }
}

fn measure(bencher: Bencher<'_, '_>, caller: &Principal, target: Target<'_>) {
    let action = Action { public: false, permission: Some(NEEDED), target };
    assert!(decide(Some(caller), &action, Some(client()), NOW).is_ok());
    bencher.bench(|| {
        decide(black_box(Some(caller)), black_box(&action), black_box(Some(client())), black_box(NOW)).is_ok()
    });
}

/// A caller that may act everywhere in its organization, by the number of networks it may come from.
#[divan::bench(args = [0, 1, 3, 50])]
fn decide_for_an_org(bencher: Bencher<'_, '_>, count: u8) {
    let caller = principal(Boundary::Org(OrgId::new(NOW)), &[], networks(count));
    measure(bencher, &caller, Target::default());
}

/// A caller bound to a team, and a path that names the team and one of its projects, by how many it has.
#[divan::bench(args = [1, 10, 1000])]
fn decide_for_a_team(bencher: Bencher<'_, '_>, projects: usize) {
    let (org, team) = (OrgId::new(NOW), TeamId::new(NOW));
    let mut projects: Vec<_> = (0..projects).map(|_| ProjectId::new(NOW)).collect();
    projects.sort_unstable();
    let (team_text, project_text) = (team.to_string(), projects[projects.len() / 2].to_string());
    let caller = principal(Boundary::Team(org, team), &projects, networks(3));
    measure(bencher, &caller, Target { team: Some(&team_text), project: Some(&project_text) });
}

/// A caller bound to a project, and a path that names its team and it.
#[divan::bench]
fn decide_for_a_project(bencher: Bencher<'_, '_>) {
    let (org, team, project) = (OrgId::new(NOW), TeamId::new(NOW), ProjectId::new(NOW));
    let (team_text, project_text) = (team.to_string(), project.to_string());
    let caller = principal(Boundary::Project(org, team, project), &[], networks(3));
    measure(bencher, &caller, Target { team: Some(&team_text), project: Some(&project_text) });
}

/// A caller that is refused by its networks: all of them are looked at.
#[divan::bench(args = [1, 50])]
fn refuse_an_address(bencher: Bencher<'_, '_>, count: u8) {
    let caller = principal(Boundary::Org(OrgId::new(NOW)), &[], networks(count));
    let action = Action { public: false, permission: Some(NEEDED), target: Target::default() };
    let stranger = Some(IpAddr::from([203, 0, 113, 5]));
    bencher.bench(|| decide(black_box(Some(&caller)), &action, black_box(stranger), NOW).is_err());
}

fn shape(profile: &str) -> KeyShape {
    Profile::parse(Profile::shipped(profile).unwrap(), profile).unwrap().keys.shape
}

fn token() -> Token {
    shape("offload").generate().unwrap()
}

/// The shape of a presented key and, where the platform's keys have one, its checksum.
#[divan::bench(args = ["offload", "cortex", "trustedoss", "reducto"])]
fn parse_a_key(bencher: Bencher<'_, '_>, profile: &str) {
    let shape = shape(profile);
    let token = shape.generate().unwrap();
    bencher.bench(|| black_box(&shape).parse(black_box(token.reveal())).is_ok());
}

/// What every request costs at least: the name under which caches know a credential.
#[divan::bench]
fn digest_of_a_key(bencher: Bencher<'_, '_>) {
    let token = token();
    bencher.bench(|| Digest::of(black_box(token.reveal())));
}

/// The fast proof: once for each key after a start.
#[divan::bench]
fn check_a_mac(bencher: Bencher<'_, '_>) {
    let mac_key = MacKey::derive(&RootSecret::parse(&[7; 32]).unwrap());
    let token = token();
    let mac = mac_key.mac(token.reveal());
    bencher.bench(|| mac_key.check(black_box(&mac), black_box(token.reveal())));
}

/// The durable proof: once for each key whose row has no MAC under the present secret.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn verify_bcrypt(bencher: Bencher<'_, '_>) {
    let shape = shape("offload");
    let token = token();
    let hash = KeyHash::bcrypt(token.reveal(), DEFAULT_COST).unwrap();
    let presented = shape.parse(token.reveal()).unwrap();
    bencher.bench(|| hash.verify(black_box(&presented), false));
}

/// A hash made elsewhere: SHA-256 of the whole key.
#[divan::bench]
fn verify_sha256(bencher: Bencher<'_, '_>) {
    let shape = shape("offload");
    let token = token();
    let hash = KeyHash::Sha256(*Digest::of(token.reveal()).bytes());
    let presented = shape.parse(token.reveal()).unwrap();
    bencher.bench(|| hash.verify(black_box(&presented), true));
}

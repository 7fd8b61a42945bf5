//! Codes that are guessed, seen, or used twice.

use std::{sync::Barrier, thread, time::Duration};

use serde_json::json;

use super::{ANA, ana, gateway, sign_in};
use crate::support::{
    authenticator::{enrolled, send},
    gateway::Gateway,
    program::{PASSWORD, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
};

const MINUTE: Duration = Duration::from_secs(60);

fn change_password(caller: &Caller, old: &str) -> String {
    let body = json!({ "password": old, "new_password": "another horse, another battery" }).to_string();
    let request = caller.request("PUT", "/v1/session/password").header("Content-Type", "application/json");
    request.body(body).send().verdict()
}

/// Whoever knows the password has as many tries at the code as they had at the password, and nothing that the password
/// alone opens gives them more.
#[test]
fn six_digits_are_not_guessed() {
    let gateway = gateway(|setup| setup);
    let (door, clock) = (gateway.admin(), &gateway.clock);
    let stolen = ana(&gateway);
    let (app, codes) = enrolled(&stolen, clock.now());
    clock.advance(MINUTE);
    // What is right as far as it goes is not counted, and lets nobody begin anew.
    let begin_anew = || {
        for _ in 0..3 {
            assert_eq!(door.sign_in(ANA, PASSWORD).verdict(), "401 second_factor_required");
            assert_eq!(change_password(&stolen, PASSWORD), "401 second_factor_required");
            let alone = json!({ "password": PASSWORD, "code": "" });
            let renew = send(&stolen, "/v1/session/second-factor/recovery-codes", &alone);
            assert_eq!(renew.verdict(), "401 second_factor_required");
        }
    };
    let remove = |code: &str| {
        let body = json!({ "password": PASSWORD, "code": code });
        send(&stolen, "/v1/session/second-factor/remove", &body).verdict()
    };
    begin_anew();
    // Where she has signed in before she has tries of her own; they are used up like everybody's.
    for n in 0..10 {
        let wrong = app.wrong_code(clock.now());
        let verdict = if n % 2 == 0 { sign_in(door, ANA, &wrong).verdict() } else { remove(&wrong) };
        assert_eq!(verdict, "401 credential_invalid", "{n}");
        if n < 9 {
            begin_anew();
        }
    }
    assert_eq!(door.sign_in(ANA, PASSWORD).verdict(), "429 too_many_failures");
    assert_eq!(
        sign_in(door, ANA, &app.code(clock.now())).verdict(),
        "429 too_many_failures",
        "not even looked at"
    );
    assert_eq!(remove(&codes[0]), "429 too_many_failures");
    assert_eq!(change_password(&stolen, PASSWORD), "429 too_many_failures");
    clock.advance(MINUTE);
    // The first half does not use up the minute's one try.
    assert_eq!(door.sign_in(ANA, PASSWORD).verdict(), "401 second_factor_required");
    assert_eq!(sign_in(door, ANA, &app.wrong_code(clock.now())).verdict(), "401 credential_invalid");
    assert_eq!(sign_in(door, ANA, &app.code(clock.now())).verdict(), "429 too_many_failures");
    clock.advance(MINUTE);
    assert_eq!(sign_in(door, ANA, &app.code(clock.now())).status, 200);
}

/// Nobody but its owner learns that there is one: a wrong password is answered as ever, whatever code comes with it.
#[test]
fn strangers_learn_nothing_of_it() {
    let gateway = gateway(|setup| setup);
    let door = gateway.admin();
    let (app, codes) = enrolled(&ana(&gateway), gateway.clock.now());
    gateway.clock.advance(MINUTE);
    let mut said = Vec::new();
    for email in [ANA, "nobody@example.com"] {
        for code in [None, Some(app.code(gateway.clock.now())), Some(codes[0].clone()), Some("x".to_owned())]
        {
            let mut body = json!({ "email": email, "password": "not the right password" });
            if let Some(code) = code {
                body["code"] = json!(code);
            }
            let answer = send(&door.anonymous(), "/v1/session", &body);
            let mut problem = answer.json();
            problem["request_id"] = json!(null);
            said.push((answer.status, problem));
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].1["code"], "credential_invalid");
    // Nothing was used up by it.
    assert_eq!(sign_in(door, ANA, &app.code(gateway.clock.now())).status, 200);
    assert_eq!(sign_in(door, ANA, &codes[0]).status, 200);
    // Nor is one wrong code told from another.
    let mut said = Vec::new();
    for wrong in [&app.wrong_code(gateway.clock.now()), &app.code(gateway.clock.now()), &codes[0], "x"] {
        let mut problem = sign_in(door, ANA, wrong).json();
        problem["request_id"] = json!(null);
        said.push(problem);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}

/// A code belongs to one account, a recovery code too.
#[test]
fn somebody_elses_code_is_none() {
    let gateway = gateway(|setup| setup);
    let bo = "bo@example.com";
    gateway.site.user(bo, "viewer", None);
    let (now, door) = (gateway.clock.now(), gateway.admin());
    let (anas, of_ana) = enrolled(&ana(&gateway), now);
    let (bos, of_bo) = enrolled(&gateway.session(bo).at(door), now);
    gateway.clock.advance(MINUTE);
    let now = gateway.clock.now();
    for (email, code) in
        [(ANA, bos.code(now)), (ANA, of_bo[0].clone()), (bo, anas.code(now)), (bo, of_ana[0].clone())]
    {
        assert_eq!(sign_in(door, email, &code).verdict(), "401 credential_invalid", "{email} {code}");
    }
    // Nor does a sealed secret open in another row.
    let swap = "UPDATE second_factors SET sealed = (SELECT sealed FROM second_factors s \
                WHERE s.user_id <> second_factors.user_id)";
    assert!(gateway.site.sql(swap) > 0);
    assert_eq!(sign_in(door, ANA, &bos.code(now)).verdict(), "503 overloaded");
    assert_eq!(sign_in(door, ANA, &of_ana[0]).status, 200);
}

/// Of all who come with one code at once, one gets in.
#[test]
fn at_once_a_code_is_used_once() {
    let gateway = gateway(|setup| setup);
    let (app, codes) = enrolled(&ana(&gateway), gateway.clock.now());
    for recovery in codes.iter().take(3) {
        gateway.clock.advance(MINUTE);
        for code in [app.code(gateway.clock.now()), recovery.clone()] {
            let (door, start) = (gateway.admin(), Barrier::new(6));
            let mut verdicts: Vec<String> = thread::scope(|scope| {
                let tries: Vec<_> = (0..6)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            sign_in(door, ANA, &code).verdict()
                        })
                    })
                    .collect();
                tries.into_iter().map(|one| one.join().expect("an answer")).collect()
            });
            verdicts.sort_unstable();
            assert_eq!(verdicts[0], "200", "{verdicts:?}");
            assert!(verdicts[1..].iter().all(|verdict| verdict == "401 credential_invalid"), "{verdicts:?}");
        }
    }
}

/// A used code stays used, whatever becomes of the process that took it.
#[test]
fn killing_the_gateway_gives_no_code_back() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    site.user(ANA, "viewer", None);
    let now = || latchgate::domain::time::Clock::system().now();
    let program = site.serve();
    let caller = program.admin().bearer(&program.admin().token(ANA));
    // The step before this one: its successors are left for the test.
    let (app, codes) = enrolled(&caller, now().before(Duration::from_secs(30)));
    // A step that is taken for half a minute at least, whenever this is.
    let code = app.code_after(now(), 1);
    assert_eq!(sign_in(program.admin(), ANA, &code).status, 200);
    assert_eq!(sign_in(program.admin(), ANA, &codes[0]).status, 200);
    let program = program.kill9().serve();
    for used in [&code, &codes[0]] {
        assert_eq!(sign_in(program.admin(), ANA, used).verdict(), "401 credential_invalid");
    }
    assert_eq!(sign_in(program.admin(), ANA, &codes[1]).status, 200);
    let written = program.everything_written();
    assert!(
        codes.iter().all(|code| !written.contains(code.as_str())) && !written.contains(&code),
        "{written}"
    );
}

/// Under another secret file an app's codes cannot be judged, which is nobody's fault; recovery codes still can.
#[test]
fn without_the_secret_file_recovery_codes_are_left() {
    let gateway = gateway(|setup| setup);
    let (app, codes) = enrolled(&ana(&gateway), gateway.clock.now());
    let site = gateway.stop();
    std::fs::write(site.path("secret.key"), [7; 32]).expect("another secret");
    let gateway = Gateway::start(site);
    gateway.clock.advance(MINUTE);
    for _ in 0..12 {
        let code = app.code(gateway.clock.now());
        assert_eq!(sign_in(gateway.admin(), ANA, &code).verdict(), "503 overloaded");
    }
    let session = sign_in(gateway.admin(), ANA, &codes[0]);
    let ana = gateway.admin().bearer(session.json()["token"].as_str().expect("a token"));
    let remove = json!({ "password": PASSWORD, "code": codes[1] });
    assert_eq!(send(&ana, "/v1/session/second-factor/remove", &remove).status, 204);
    enrolled(&ana, gateway.clock.now());
}

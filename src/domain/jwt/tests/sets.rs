//! Which keys of a set are used.

use serde_json::json;

use super::{
    keys,
    signer::{Signer, encode},
};
use crate::domain::jwt::{KeySet, NotAKeySet};

#[test]
fn a_set_keeps_the_keys_that_can_prove() {
    let (rsa, ec) = (Signer::rsa("rsa"), Signer::p256("ec"));
    let mut encrypting = rsa.published();
    encrypting["use"] = json!("enc");
    let mut nameless = ec.published();
    nameless.as_object_mut().unwrap().remove("kid");
    let mut misfit = ec.published();
    misfit["alg"] = json!("ES384");
    let secret = json!({"kty": "oct", "k": "AAAA", "kid": "s", "alg": "HS256"});
    let small = json!({"kty": "RSA", "kid": "small", "n": encode([255; 128]), "e": "AQAB"});
    let odd = [json!({"kty": "EC", "crv": "P-521", "kid": "x", "x": "AA", "y": "AA"}), json!(7), json!({})];
    let mut all = vec![encrypting, nameless, misfit, secret, small];
    all.extend(odd);
    all.push(ec.published());
    let set = KeySet::parse(&json!({ "keys": all })).unwrap();
    assert_eq!(set.ids().into_iter().collect::<Vec<_>>(), ["ec"]);
    assert!(KeySet::parse(&json!({"keys": []})).unwrap().is_empty());
    for none in [json!([]), json!({}), json!({"keys": {}}), json!("keys"), json!({"error": "down"})] {
        assert_eq!(KeySet::parse(&none).unwrap_err(), NotAKeySet::Shape);
    }
    assert_eq!(KeySet::parse(&json!({"keys": vec![0; 101]})).unwrap_err(), NotAKeySet::TooMany);
}

#[test]
fn a_key_that_changed_under_its_name_is_gone() {
    let (old, new, same_name) = (Signer::p256("a"), Signer::p256("b"), Signer::p256("a"));
    assert!(keys(&[&old]).lives_on_in(&keys(&[&new, &old])));
    assert!(!keys(&[&old, &new]).lives_on_in(&keys(&[&new])));
    assert!(!keys(&[&old]).lives_on_in(&keys(&[&same_name])));
}

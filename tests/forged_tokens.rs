//! Tokens that are forged, ended, revoked or foreign: all of them 401, and nothing is stored.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::refusals::{AN_ID, Watched};
use crate::support::*;

/// The key that the service signs with, out of its database and key file.
fn service_key(app: &App) -> (String, Vec<u8>) {
    let file = std::env::temp_dir().join(format!("slipway-tests-{}/slipway.key", std::process::id()));
    let secret = STANDARD.decode(std::fs::read_to_string(file).unwrap().trim()).unwrap();
    let rows = app.env.database.read_blocking::<_, slipway::service::Error>(|connection| {
        Ok(slipway::repository::identity::signing_keys(connection)?)
    });
    let row = rows.unwrap().remove(0);
    let sealed = STANDARD.decode(&row.sealed_private_key).unwrap();
    let (nonce, sealed) = sealed.split_at(24);
    let payload = Payload { msg: sealed, aad: row.kid.as_bytes() };
    let key = XChaCha20Poly1305::new_from_slice(&secret).unwrap().decrypt(XNonce::from_slice(nonce), payload).unwrap();
    (row.kid, key)
}

fn signed(key: &[u8], header: &Header, claims: &Value) -> String {
    let key = SigningKey::from_bytes(key.try_into().unwrap());
    let der = key.to_pkcs8_der().unwrap();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_der(der.as_bytes())).unwrap()
}

#[test]
fn a_token_that_is_not_ours_in_every_respect_is_a_401() {
    let watched = Watched::start();
    let good = watched.lead.token.clone().unwrap();
    let part = |index: usize| good.split('.').nth(index).unwrap().to_owned();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part(1)).unwrap()).unwrap();
    let (kid, key) = service_key(&watched.app);
    let header = Header { typ: Some("at+jwt".into()), kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
    let ours = |claims: &Value| signed(&key, &header, claims);
    let me = |token: &str| watched.app.client_with(token).get("/me");
    assert_eq!(me(&ours(&claims)).status, 200, "the test itself can sign");

    let mut bad: Vec<(String, String)> = Vec::new();
    for claim in ["iss", "aud", "sub", "sid", "exp", "iat", "jti"] {
        let mut less = claims.clone();
        less.as_object_mut().unwrap().remove(claim);
        bad.push((format!("without {claim}"), ours(&less)));
        for value in [json!("other"), json!(0), json!(null), json!(""), json!(AN_ID), json!(["slipway"])] {
            let mut other = claims.clone();
            other[claim] = value.clone();
            if claim == "jti" && value.as_str().is_some_and(|text| !text.is_empty()) {
                continue;
            }
            // One audience may be written as a list of one (RFC 7519).
            if claim == "aud" && value == json!(["slipway"]) {
                continue;
            }
            bad.push((format!("{claim} = {value}"), ours(&other)));
        }
    }
    let now = claims["iat"].as_i64().unwrap();
    for (what, iat, exp) in [
        ("ended", now - 601, now - 1),
        ("ends now", now - 10, now),
        ("too long", now, now + 601),
        ("not yet", now + 1, now + 500),
    ] {
        let mut other = claims.clone();
        other["iat"] = json!(iat);
        other["exp"] = json!(exp);
        bad.push((what.into(), ours(&other)));
    }
    bad.push(("another key".into(), signed(&[7; 32], &header, &claims)));
    for typ in [None, Some("JWT"), Some("rt+jwt")] {
        let other = Header { typ: typ.map(Into::into), ..header.clone() };
        bad.push((format!("type {typ:?}"), signed(&key, &other, &claims)));
    }
    for kid in [None, Some("other"), Some("")] {
        let other = Header { kid: kid.map(Into::into), ..header.clone() };
        bad.push((format!("key id {kid:?}"), signed(&key, &other, &claims)));
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS512] {
        let public = SigningKey::from_bytes(key.as_slice().try_into().unwrap()).verifying_key();
        let other = Header { typ: Some("at+jwt".into()), kid: Some(kid.clone()), ..Header::new(algorithm) };
        let secret = EncodingKey::from_secret(public.as_bytes());
        bad.push((
            format!("{algorithm:?} with the public key"),
            jsonwebtoken::encode(&other, &claims, &secret).unwrap(),
        ));
    }
    let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "at+jwt", "kid": kid}).to_string());
    for signature in [String::new(), part(2)] {
        bad.push(("algorithm none".into(), format!("{none}.{}.{signature}", part(1))));
    }
    let promoted = URL_SAFE_NO_PAD.encode({
        let mut other = claims.clone();
        other["sub"] = json!(watched.app.user_id(Role::Admin));
        other.to_string()
    });
    bad.push(("another subject".into(), format!("{}.{promoted}.{}", part(0), part(2))));
    for token in
        ["", "x", "a.b", "a.b.c", "slp_", "slp_short", &format!("slp_{}", "A".repeat(49)), &"x".repeat(8000), "💥"]
    {
        bad.push(("no token".into(), token.to_owned()));
    }
    for (what, token) in &bad {
        let request = watched
            .app
            .anonymous()
            .request("POST", "/releases")
            .header("authorization", format!("Bearer {token}").into_bytes());
        let answer = watched.refused(request.json(&new_release()), 401, "UNAUTHENTICATED");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
    }
    for header in ["Basic YWRtaW46YWRtaW4=", "Bearer", "bearer", "Token x", ""] {
        let request = watched.app.anonymous().request("GET", "/me").header("authorization", header);
        watched.refused(request, 401, "UNAUTHENTICATED");
    }
}

#[test]
fn a_disabled_user_an_expired_and_a_revoked_token_are_refused_at_once() {
    let watched = Watched::start();
    let viewer = watched.app.client(Role::Viewer);
    let token = |body: Value| {
        let made = viewer.post("/tokens", &body).expect(201);
        (watched.app.client_with(made.body["token"].as_str().unwrap()), made.id())
    };
    let (lasting, _) = token(json!({"name": "a", "scopes": ["read"]}));
    let (ending, _) = token(json!({"name": "b", "scopes": ["read"], "expires_at": "2030-01-07T10:05:00Z"}));
    let (revoked, id) = token(json!({"name": "c", "scopes": ["read"]}));
    for client in [&lasting, &ending, &revoked] {
        client.get("/me").expect(200);
    }
    let mut other = lasting.token.clone().unwrap();
    let last = if other.ends_with('a') { 'b' } else { 'a' };
    other.pop();
    other.push(last);
    watched.app.client_with(&other).get("/me").problem(401, "UNAUTHENTICATED");
    viewer.delete(&format!("/tokens/{id}"), "*").expect(204);
    revoked.get("/me").problem(401, "UNAUTHENTICATED");
    watched.app.set_clock("2030-01-07T10:05:00Z");
    ending.get("/me").problem(401, "UNAUTHENTICATED");
    let path = format!("/users/{}", watched.app.user_id(Role::Viewer));
    watched.admin.patch(&path, "*", &json!({"active": false})).expect(200);
    viewer.get("/me").problem(401, "UNAUTHENTICATED");
    lasting.get("/me").problem(401, "UNAUTHENTICATED");
    watched.app.set_clock("2030-01-07T10:11:00Z");
    watched.admin.get("/me").problem(401, "UNAUTHENTICATED");
}

#[test]
fn a_token_of_another_installation_is_foreign() {
    let (here, there) = (App::start(), App::start());
    // Both have the same users and keys; the session is known over there alone.
    let foreign = there.client(Role::Admin).token.unwrap();
    here.client_with(&foreign).get("/me").problem(401, "UNAUTHENTICATED");
}

//! Proofs that are taken while others write.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::*;

/// So many proofs are taken.
const PROOFS: usize = 40;

#[test]
fn a_proof_taken_while_others_write_finds_nothing_wrong() {
    let app = App::start();
    let release = app.release().make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (client, path, stop) = (app.client(Role::Manager), &path, &stop);
            scope.spawn(move || {
                for write in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let title = format!("Title {writer} {write}");
                    client.patch(path, "*", &json!({"title": title})).expect(200);
                }
            });
        }
        let admin = app.client(Role::Admin);
        let mut wrong = Vec::new();
        for _ in 0..PROOFS {
            for path in [format!("{path}/history/verify"), "/audit/verify".to_owned()] {
                let proof = admin.get(&path);
                if proof.body["valid"] != true {
                    wrong.push(proof.text);
                }
            }
            let findings = slipway::service::doctor::examine(&mut app.env.database.connect().unwrap());
            let faults = findings.unwrap().into_iter().filter_map(|finding| finding.fault);
            wrong.extend(faults);
        }
        stop.store(true, Ordering::SeqCst);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
    app.assert_sound();
}

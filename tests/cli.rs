//! The command line: the real binary in a temporary folder.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::{Value, json};

use slipway::repository::Target;

use crate::binary::*;
use crate::support::{lines, on_postgres};

/// Every command with its words, and what its help must name.
const COMMANDS: &[(&[&str], &str)] = &[
    (&[], "Exit codes"),
    (&["serve"], "Usage: slipway serve"),
    (&["migrate"], "status"),
    (&["migrate", "up"], "Usage: slipway migrate up"),
    (&["migrate", "down"], "<COUNT>"),
    (&["migrate", "status"], "Usage: slipway migrate status"),
    (&["openapi"], "Usage: slipway openapi"),
    (&["user"], "set-password"),
    (&["user", "add"], "--email"),
    (&["user", "set-password"], "<USERNAME>"),
    (&["user", "disable"], "<USERNAME>"),
    (&["token"], "revoke"),
    (&["token", "create"], "--scope"),
    (&["token", "revoke"], "<ID>"),
    (&["seed"], "--rng-seed"),
    (&["import"], "--dry-run"),
    (&["doctor"], "--checkpoint-file"),
    (&["backup"], "--force"),
    (&["restore"], "--force"),
    (&["config"], "print"),
    (&["config", "print"], "Usage: slipway config print"),
];

#[test]
fn every_command_explains_itself() {
    let folder = Folder::new();
    for (words, named) in COMMANDS {
        let arguments: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let run = finish(binary(folder.path(), &arguments), "").expect(0);
        assert!(run.stdout.contains(named), "{words:?}: {}", run.stdout);
        assert_eq!(run.stderr, "", "{words:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "help leaves nothing behind");
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = Folder::new();
    for arguments in [
        &["fly"][..],
        &["migrate"],
        &["migrate", "down"],
        &["migrate", "down", "many"],
        &["user", "add", "joe"],
        &["user", "add", "joe", "--name", "Joe", "--email", "joe@example.org", "--role", "king"],
        &["token", "create", "--user", "admin", "--name", "x"],
        &["token", "create", "--user", "admin", "--name", "x", "--scope", "everything"],
        &["token", "revoke", "not-an-id"],
        &["seed", "--releases", "0"],
        &["serve", "--fast"],
        &["backup"],
        &["import"],
        &["import", "nothing.csv"],
        &["restore", "one", "two"],
    ] {
        let run = finish(binary(folder.path(), arguments), "");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn bad_configuration_ends_with_3_and_names_every_fault_at_once() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("slipway.toml"), "colour = \"red\"\nworkers = 0\n").unwrap();
    let mut command = binary(folder.path(), &["serve"]);
    command.envs([
        ("DATABASE_URL", "mysql://localhost/x"),
        ("SLIPWAY_LISTEN", "nowhere"),
        ("SLIPWAY_RATE_LIMIT", "-1"),
        ("SLIPWAY_LISTNE", "127.0.0.1:1"),
    ]);
    let line = finish(command, "").failure(3);
    for named in ["colour", "workers", "database_url", "`listen`", "rate_limit", "SLIPWAY_LISTNE"] {
        assert!(line.contains(named), "{named}: {line}");
    }
}

#[test]
fn a_setting_that_is_not_text_is_refused_and_not_passed_over() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let mut command = binary(folder.path(), &["config", "print"]);
    command.env("DATABASE_URL", std::ffi::OsStr::from_bytes(b"sqlite:\xff.db"));
    command.env("SLIPWAY_RATE_LIMIT", "many");
    let line = finish(command, "").failure(3);
    assert!(line.contains("DATABASE_URL") && line.contains("rate_limit"), "{line}");
}

#[test]
fn a_configuration_file_that_is_named_must_be_there_and_be_toml() {
    let folder = Folder::new();
    let mut command = binary(folder.path(), &["config", "print"]);
    command.env("SLIPWAY_CONFIG", "elsewhere.toml");
    assert!(finish(command, "").failure(3).contains("elsewhere.toml"));

    std::fs::write(folder.path().join("slipway.toml"), "listen = \n").unwrap();
    finish(binary(folder.path(), &["config", "print"]), "").failure(3);
}

#[test]
fn the_printed_configuration_says_everything_but_secrets() {
    let folder = Folder::new();
    let mut command = binary(folder.path(), &["config", "print"]);
    command.env("DATABASE_URL", "postgres://joe:hunter2@db.example.org/slipway");
    command.env("SLIPWAY_ADMIN_PASSWORD", "hunter2 hunter2 hunter2");
    let run = finish(command, "").expect(0);
    assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
    let printed: toml::Table = run.stdout.parse().unwrap();
    assert_eq!(printed["listen"].as_str(), Some("127.0.0.1:8080"));
    assert!(printed["database_url"].as_str().unwrap().contains("db.example.org/slipway"));
    let keys: Vec<&str> = slipway::config::SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(
        printed.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
        keys.into_iter().collect()
    );
}

#[test]
fn pending_migrations_on_postgresql_end_with_4_and_say_what_to_run() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::without_migrations();
    for command in [&["serve"][..], &["token", "revoke", "00000000-0000-7000-8000-000000000000"]] {
        let line = installation.run(command).failure(4);
        assert!(line.contains("pending") && line.contains("slipway migrate up"), "{line}");
    }
}

#[test]
fn a_database_that_is_not_there_ends_with_4_and_no_password_is_told() {
    let folder = Folder::new();
    let mut command = binary(folder.path(), &["serve"]);
    command.env("DATABASE_URL", "postgres://joe:hunter2@127.0.0.1:1/nothing");
    assert!(!finish(command, "").failure(4).contains("hunter2"));

    let mut command = binary(folder.path(), &["serve"]);
    command.env("DATABASE_URL", "sqlite:no/such/folder/slipway.db");
    finish(command, "").failure(4);
}

#[test]
fn migrations_go_up_down_and_up_again() {
    let installation = Installation::without_migrations();
    let status = |expected: &str| {
        let run = installation.run(&["migrate", "status"]).expect(0);
        let words: Vec<&str> = run.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert!(!words.is_empty() && words.iter().all(|word| *word == expected), "{expected}: {}", run.stdout);
        words.len()
    };
    let all = status("pending").to_string();
    for _ in 0..2 {
        assert!(installation.run(&["migrate", "up"]).expect(0).stdout.starts_with("applied "));
        status("applied");
        assert_eq!(installation.run(&["migrate", "up"]).expect(0).stdout, "Nothing to do.\n");
        assert!(installation.run(&["migrate", "down", &all]).expect(0).stdout.starts_with("took back "));
        status("pending");
        assert_eq!(installation.run(&["migrate", "down", "1"]).expect(0).stdout, "Nothing to do.\n");
    }
}

#[test]
fn a_seeding_that_is_killed_leaves_its_indexes_to_the_next_migration() {
    let indexes = |installation: &Installation| {
        let statement = if on_postgres() {
            "SELECT indexname || indexdef AS line FROM pg_indexes WHERE schemaname = 'public'"
        } else {
            "SELECT name || coalesce(sql, '') AS line FROM sqlite_master WHERE type = 'index'"
        };
        let mut connection = installation.database.open().connect().unwrap();
        lines(&mut connection, statement).into_iter().collect::<BTreeSet<_>>()
    };
    let installation = Installation::new();
    installation.run(&["migrate", "up"]).expect(0);
    let all = indexes(&installation);
    let mut command = installation.command(&["seed", "--releases", "60000"]);
    command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let mut seeding = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(seeding.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(first, "3000 of 60000 releases");
    // A command beside it leaves the indexes to it, on PostgreSQL by being refused.
    let beside = installation.run_with_input(&["user", "set-password", "admin"], &format!("{ADMIN_PASSWORD}\n"));
    beside.expect(if on_postgres() { 4 } else { 0 });
    assert!(seeding.try_wait().unwrap().is_none());
    seeding.kill().unwrap();
    seeding.wait().unwrap();

    let missing: Vec<String> = all.difference(&indexes(&installation)).cloned().collect();
    assert!(missing.len() > 40, "{missing:?}");
    let kept = |name: &str| all.iter().any(|index| index.starts_with(name) && !missing.contains(index));
    let of_the_audit = ["audit_actor_id_id_idx", "audit_action_id_idx"];
    assert!(kept("releases.number") && of_the_audit.into_iter().all(|name| kept(name) == on_postgres()), "{missing:?}");
    let status = installation.run(&["migrate", "status"]).expect(0).stdout;
    let pending = |text: &str| text.lines().filter(|line| line.starts_with("pending index ")).count();
    assert_eq!(pending(&status), missing.len(), "{status}");
    let told = installation.run(&["doctor"]).expect(5).stdout;
    assert!(told.contains("pending: index ") && told.contains(" index audit_at_idx"), "{told}");
    // A service on PostgreSQL wants them made, one on its own file makes them.
    if on_postgres() {
        installation.run(&["serve"]).failure(4);
        let applied = installation.run(&["migrate", "up"]).expect(0).stdout;
        assert_eq!(applied.matches("applied index ").count(), missing.len(), "{applied}");
    }
    let service = installation.serve();
    assert_eq!(indexes(&installation), all);
    let admin = service.session("admin", ADMIN_PASSWORD);
    assert_eq!(admin.get("/releases?limit=1&sort=title").expect(200).body["data"].as_array().unwrap().len(), 1);
    drop(service);
    installation.run(&["doctor"]).expect(0);
    installation.run(&["seed"]).failure(1);
}

#[test]
fn a_large_seeding_waits_for_sessions_that_are_about_to_end() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::new();
    let mut session = installation.database.open().connect().unwrap();
    let mut command = installation.command(&["seed", "--releases", "1001"]);
    command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let mut seeding = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let its_session = "SELECT 'there' AS line FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL";
    while lines(&mut session, its_session).is_empty() {
        assert!(seeding.try_wait().unwrap().is_none());
    }
    drop(session);
    assert!(seeding.wait().unwrap().success());
}

#[test]
fn two_migrations_at_once_do_it_once_between_them() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::without_migrations();
    let mut told: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..4).map(|_| scope.spawn(|| installation.run(&["migrate", "up"]).expect(0).stdout)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    told.sort();
    assert_eq!(&told[..3], ["Nothing to do.\n"; 3]);
    assert!(told[3].starts_with("applied "), "{told:?}");
}

#[test]
fn the_first_start_prints_the_addresses_and_one_password_and_the_second_none() {
    let installation = Installation::new();
    let mut service = Service::start(installation.command(&[]));
    let printed = service.printed.join("\n");
    let (_, rest) = printed.split_once("password `").unwrap();
    let (password, _) = rest.split_once('`').unwrap();
    let base = format!("http://{}", service.address);
    assert!(!service.address.ends_with(":0"), "{printed}");
    assert!(printed.contains(&format!("{base}/api/v1\n")) && printed.contains(&format!("{base}/docs\n")), "{printed}");
    let login = printed.lines().last().unwrap();
    assert!(login.contains(&format!("curl -s {base}/api/v1/auth/login")) && login.contains(password), "{login}");
    service.session("admin", password).get("/me").expect(200);

    // The login line works as it is printed.
    let copied = login.strip_prefix("Log in").unwrap();
    let output = std::process::Command::new("bash").args(["-c", copied]).output().unwrap();
    let pair: Value = serde_json::from_slice(&output.stdout).unwrap();
    service.client(pair["access_token"].as_str()).get("/me").expect(200);

    service.kill();
    let service = Service::start(installation.command(&["serve"]));
    assert!(!service.printed.join("\n").contains("password `"), "{:?}", service.printed);
    service.session("admin", password);
}

#[test]
fn the_first_start_takes_the_configured_password() {
    let installation = Installation::new();
    let service = installation.serve();
    assert!(!service.printed.join("\n").contains(ADMIN_PASSWORD), "{:?}", service.printed);
    let admin = service.session("admin", ADMIN_PASSWORD);
    let named = |collection: &str, field: &str| -> Vec<String> {
        let page = admin.get(&format!("/{collection}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named("portfolios", "name"), ["General"]);
    let mut models = named("models", "name");
    models.sort();
    assert_eq!(models, ["Emergency", "Minor", "Standard"]);
    assert_eq!(named("groups", "name"), ["Release team"]);
    assert!(!named("solution-categories", "name").is_empty());
    for wanted in ["suspend", "cancel", "reopen", "send_back", "override"] {
        let page = admin.get(&format!("/justifications?applies_to={wanted}")).expect(200);
        assert!(!page.body["data"].as_array().unwrap().is_empty(), "{wanted}");
    }
}

#[test]
fn a_configured_password_that_is_too_short_is_refused_before_anything_is_made() {
    let installation = Installation::new();
    let mut command = installation.command(&["serve"]);
    command.env("SLIPWAY_ADMIN_PASSWORD", "short");
    let line = finish(command, "").failure(3);
    assert!(line.contains("SLIPWAY_ADMIN_PASSWORD") && line.contains("12"), "{line}");
    installation.serve().session("admin", ADMIN_PASSWORD);
}

#[test]
fn with_nothing_configured_everything_is_in_the_working_folder() {
    let folder = Folder::new();
    let service = Service::start(binary(folder.path(), &[]));
    for name in ["slipway.db", "slipway.key"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    // Hashes of passwords and tokens are in it, and in what SQLite puts beside it.
    for name in ["slipway.db", "slipway.db-wal", "slipway.db-shm", "slipway.db.lock", "slipway.key"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(service.printed.contains(&"Database  sqlite:slipway.db".to_owned()), "{:?}", service.printed);
}

#[test]
fn the_key_file_is_for_its_owner_alone_and_another_one_is_refused() {
    let installation = Installation::new();
    drop(installation.serve());
    let file = installation.folder.path().join("slipway.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::rename(&file, installation.folder.path().join("kept.key")).unwrap();
    for command in [&["serve"][..], &["user", "disable", "nobody"], &["seed"]] {
        let line = installation.run(command).failure(3);
        assert!(line.contains("another key file") && !line.contains("internal"), "{line}");
    }
    std::fs::write(&file, "not a key").unwrap();
    let line = installation.run(&["serve"]).failure(3);
    assert!(line.contains("slipway.key") && !line.contains("internal"), "{line}");

    std::fs::rename(installation.folder.path().join("kept.key"), &file).unwrap();
    installation.serve().session("admin", ADMIN_PASSWORD);
}

#[test]
fn a_second_service_on_the_same_sqlite_file_is_refused() {
    if on_postgres() {
        return;
    }
    let installation = Installation::new();
    let mut service = installation.serve();
    for command in [&["serve"][..], &["migrate", "up"], &["migrate", "down", "1"], &["seed"]] {
        let mut command = installation.command(command);
        command.env("SLIPWAY_LISTEN", "127.0.0.1:0");
        let line = finish(command, "").failure(4);
        assert!(line.contains("another process"), "{line}");
    }
    // Whatever way leads to the file: a link, and the name alone from within its folder.
    let Target::Sqlite(file) = &installation.database.target else { unreachable!() };
    let link = installation.folder.path().join("link.db");
    std::os::unix::fs::symlink(file, &link).unwrap();
    let by_name = format!("sqlite:{}", file.file_name().unwrap().to_str().unwrap());
    for (folder, url) in [(installation.folder.path(), "sqlite:link.db"), (file.parent().unwrap(), &by_name)] {
        let mut command = binary(folder, &["serve"]);
        command.env("DATABASE_URL", url).env("SLIPWAY_LISTEN", "127.0.0.1:0");
        let line = finish(command, "").failure(4);
        assert!(line.contains("another process"), "{line}");
    }
    installation.run(&["migrate", "status"]).expect(0);
    installation.run(&["doctor"]).expect(0);
    service.kill();
    installation.serve();
}

#[test]
fn any_number_of_services_work_on_one_postgresql() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::new();
    let (one, other) = (installation.serve(), installation.serve());
    let client = one.session("admin", ADMIN_PASSWORD);
    other.client(client.token.as_deref()).get("/me").expect(200);
}

#[test]
fn first_starts_at_once_make_one_installation_between_them() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::new();
    let services: Vec<Service> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| Service::start(installation.command(&["serve"])))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let passwords: Vec<String> = services.iter().filter_map(made_up_password).collect();
    assert_eq!(passwords.len(), 1, "{passwords:?}");
    for one in &services {
        let client = one.session("admin", &passwords[0]);
        for other in &services {
            other.client(client.token.as_deref()).get("/me").expect(200);
        }
    }
    let mut names: Vec<_> =
        std::fs::read_dir(installation.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["slipway-documents", "slipway.key"]);
}

/// The password that a first start printed.
fn made_up_password(service: &Service) -> Option<String> {
    let line = service.printed.iter().find_map(|line| line.split_once("password `"))?;
    Some(line.1.split_once('`')?.0.to_owned())
}

#[test]
fn an_address_in_use_ends_with_1() {
    let installation = Installation::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = installation.command(&["serve"]);
    command.env("SLIPWAY_LISTEN", taken.local_addr().unwrap().to_string());
    assert!(finish(command, "").failure(1).contains("cannot listen on"));
}

#[test]
fn the_printed_contract_is_the_served_one() {
    let installation = Installation::new();
    let printed = finish(binary(installation.folder.path(), &["openapi"]), "").expect(0).stdout;
    let service = installation.serve();
    assert_eq!(service.client(None).get("/openapi.json").expect(200).text, printed);
}

#[test]
fn users_are_managed_beside_a_running_service() {
    let installation = Installation::new();
    let service = installation.serve();
    let add = ["user", "add", "joe", "--name", "Joe", "--email", "joe@example.org", "--role", "viewer"];
    installation.run_with_input(&add, "a password of joe\n").expect(0);
    let joe = service.session("joe", "a password of joe");
    assert_eq!(joe.get("/me").expect(200).body["global_role"], "viewer");

    let before = service.login("joe", "a password of joe").1;
    installation.run_with_input(&["user", "set-password", "joe"], "another password\n").expect(0);
    let refresh = json!({"refresh_token": before["refresh_token"]});
    service.client(None).post("/auth/refresh", &refresh).problem(401, "UNAUTHENTICATED");
    joe.get("/me").problem(401, "UNAUTHENTICATED");
    assert_eq!(service.login("joe", "a password of joe").0, 401);
    let joe = service.session("joe", "another password");
    let scopes = json!({"name": "script", "scopes": ["read"]});
    let personal = joe.post("/tokens", &scopes).expect(201);
    let personal = service.client(personal.body["token"].as_str().or(personal.body["secret"].as_str()));
    personal.get("/me").expect(200);

    // The service remembers both by now; the very next request of either is refused all the same.
    for _ in 0..3 {
        joe.get("/releases").expect(200);
        personal.get("/releases").expect(200);
    }
    installation.run(&["user", "disable", "joe"]).expect(0);
    joe.get("/me").problem(401, "UNAUTHENTICATED");
    joe.post("/auth/logout", &json!({})).expect(401);
    personal.get("/me").problem(401, "UNAUTHENTICATED");
    assert_eq!(service.login("joe", "another password").0, 401);
    installation.run(&["doctor"]).expect(0);
}

#[test]
fn a_user_command_that_cannot_be_done_ends_with_1_in_one_line() {
    let installation = Installation::new();
    drop(installation.serve());
    let add = |name: &str, email: &str, input: &str| {
        installation.run_with_input(&["user", "add", name, "--name", "Joe", "--email", email], input)
    };
    assert!(add("joe", "joe@example.org", "short\n").failure(1).contains("12"));
    assert!(add("joe", "joe@example.org", "").failure(1).contains("12"));
    add("joe", "no address", "a password of joe\n").failure(1);
    add("", "joe@example.org", "a password of joe\n").failure(1);
    add("joe", "joe@example.org", "a password of joe\n").expect(0);
    assert!(add("joe", "joe@example.org", "a password of joe\n").failure(1).contains("username"));
    for command in [&["user", "disable", "nobody"][..], &["user", "set-password", "nobody"]] {
        assert!(installation.run_with_input(command, "a password of nobody\n").failure(1).contains("user"));
    }
    assert!(
        installation
            .run(&["token", "create", "--user", "nobody", "--name", "x", "--scope", "read"])
            .failure(1)
            .contains("user")
    );
    assert!(
        installation.run(&["token", "revoke", "00000000-0000-7000-8000-000000000000"]).failure(1).contains("token")
    );
}

#[test]
fn tokens_are_made_and_revoked_beside_a_running_service() {
    let installation = Installation::new();
    let service = installation.serve();
    let create =
        ["token", "create", "--user", "admin", "--name", "script", "--scope", "read", "--scope", "releases:write"];
    let made = installation.run(&create).expect(0);
    let token = made.stdout.trim_end();
    assert!(token.starts_with("slp_") && !token.contains(char::is_whitespace), "{made:?}");
    let client = service.client(Some(token));
    client.get("/releases").expect(200);
    client.post("/units", &json!({"name": "Shops", "active": true})).expect(403);

    let id = made.stderr.split(' ').nth(1).unwrap();
    installation.run(&["token", "revoke", id]).expect(0);
    client.get("/releases").problem(401, "UNAUTHENTICATED");
    client.post("/releases", &json!({})).problem(401, "UNAUTHENTICATED");
    assert!(installation.run(&["token", "revoke", id]).failure(1).contains("token"));
}

#[test]
fn a_token_of_the_command_line_has_a_name_that_the_api_would_take() {
    let installation = Installation::new();
    drop(installation.serve());
    let long = "x".repeat(1000);
    for name in ["", &long] {
        installation.run(&["token", "create", "--user", "admin", "--name", name, "--scope", "read"]).failure(1);
    }
}

/// A release with a history of three rows; answers its identifier.
fn release_with_history(service: &Service) -> String {
    let admin = service.session("admin", ADMIN_PASSWORD);
    let release = json!({"title": "Payments 4.2", "requester": {"name": "Ana Souza", "email": "ana@example.org"}});
    let id = admin.post("/releases", &release).expect(201).id();
    for title in ["Payments 4.3", "Payments 4.4"] {
        admin.patch(&format!("/releases/{id}"), "*", &json!({"title": title})).expect(200);
    }
    id
}

/// Breaks the history and sees that the doctor and the API name the row.
fn tampered(sql: impl Fn(&str) -> String, bad_seq: i64) {
    let installation = Installation::new();
    let service = installation.serve();
    let id = release_with_history(&service);
    let run = installation.run(&["doctor"]).expect(0);
    assert!(run.stdout.lines().all(|line| line.starts_with("ok ")), "{}", run.stdout);
    let admin = service.session("admin", ADMIN_PASSWORD);
    let proof = admin.get(&format!("/releases/{id}/history/verify")).expect(200);
    assert_eq!((&proof.body["valid"], &proof.body["length"]), (&json!(true), &json!(3)), "{}", proof.text);
    assert_eq!(proof.body["first_bad"], Value::Null);

    installation.database.execute(&sql(&id));
    let run = installation.run(&["doctor"]).expect(5);
    assert!(run.stdout.contains(&format!("FAULT  audit chains: release {id} row {bad_seq}")), "{}", run.stdout);
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{}", run.stderr);
    for path in [format!("/releases/{id}/history/verify"), "/audit/verify".to_owned()] {
        let proof = admin.get(&path).expect(200);
        assert_eq!(proof.body["valid"], false, "{}", proof.text);
        let bad = &proof.body["first_bad"];
        assert_eq!((&bad["record_id"], &bad["seq"]), (&json!(id), &json!(bad_seq)), "{}", proof.text);
    }
}

#[test]
fn the_doctor_sees_a_flipped_byte_of_a_recorded_change() {
    tampered(
        |id| format!("UPDATE audit SET changes = replace(changes, '4.3', '4.5') WHERE record_id = '{id}' AND seq = 2"),
        2,
    );
}

#[test]
fn the_doctor_sees_a_changed_author() {
    tampered(|id| format!("UPDATE audit SET actor_name = 'bdmin' WHERE record_id = '{id}' AND seq = 2"), 2);
}

#[test]
fn the_doctor_sees_that_the_last_row_is_gone() {
    tampered(|id| format!("DELETE FROM audit WHERE record_id = '{id}' AND seq = 3"), 3);
}

#[test]
fn the_doctor_sees_that_a_row_in_the_middle_is_gone() {
    tampered(|id| format!("DELETE FROM audit WHERE record_id = '{id}' AND seq = 2"), 2);
}

#[test]
fn the_doctor_sees_that_a_whole_history_is_gone() {
    tampered(|id| format!("DELETE FROM audit WHERE record_id = '{id}'"), 1);
}

#[test]
fn the_doctor_sees_that_rows_changed_places() {
    let swap = |id: &str| {
        [(2, 99), (3, 2), (99, 3)]
            .map(|(from, to)| format!("UPDATE audit SET seq = {to} WHERE record_id = '{id}' AND seq = {from}"))
            .join("; ")
    };
    tampered(swap, 2);
}

#[test]
fn the_doctor_sees_that_an_event_is_gone() {
    let installation = Installation::new();
    let service = installation.serve();
    let id = release_with_history(&service);
    installation.database.execute(&format!("DELETE FROM events WHERE record_id = '{id}' AND seq = 2"));
    let run = installation.run(&["doctor"]).expect(5);
    assert!(run.stdout.contains(&format!("FAULT  events: release {id} row 2 of the audit")), "{}", run.stdout);
}

#[test]
fn a_checkpoint_file_that_cannot_be_read_is_wrong_usage_and_named() {
    let installation = Installation::new();
    drop(installation.serve());
    let folder = installation.folder.path().to_str().unwrap().to_owned();
    std::fs::write(installation.folder.path().join("binary"), [0xff, 0xfe, 0x00]).unwrap();
    let binary = format!("{folder}/binary");
    for file in ["/nowhere/checkpoints", folder.as_str(), &binary] {
        let line = installation.run(&["doctor", "--checkpoint-file", file]).failure(2);
        assert!(line.contains(file) && !line.contains("internal"), "{line}");
    }
    installation.run(&["doctor"]).expect(0);
}

#[test]
fn the_doctor_makes_no_database_where_there_is_none() {
    let folder = Folder::new();
    finish(binary(folder.path(), &["doctor"]), "").failure(4);
    assert!(!folder.path().join("slipway.db").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let folder = Folder::new();
    let mut command = binary(folder.path(), &["openapi"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_file_is_imported_in_its_own_process_and_rows_that_fail_end_with_1() {
    let folder = Folder::new();
    let good = "source,external_id,name,class,status\ncmdb,a,a,server,planned\ncmdb,b,b,server,planned\n";
    std::fs::write(folder.path().join("items.csv"), good).unwrap();
    let bad = format!(
        "{}\n",
        json!({"type": "relationship", "source": "cmdb", "external_id": "a", "kind": "runs_on", "target_source": "cmdb", "target_external_id": "z"})
    );
    std::fs::write(folder.path().join("more.ndjson"), bad).unwrap();
    let run = |arguments: &[&str]| finish(binary(folder.path(), arguments), "");
    let tried = run(&["import", "items.csv", "--dry-run"]).expect(0);
    assert!(tried.stdout.contains("Nothing was stored. 2 created, 0 updated, 0 unchanged, 0 failed."), "{tried:?}");
    let done = run(&["import", "items.csv"]).expect(0);
    assert!(done.stdout.contains("2 created, 0 updated, 0 unchanged, 0 failed."), "{done:?}");
    let again = run(&["import", "items.csv", "--format", "csv"]).expect(0);
    assert!(again.stdout.contains("0 created, 0 updated, 2 unchanged, 0 failed."), "{again:?}");
    let failed = run(&["import", "more.ndjson"]).expect(1);
    assert!(failed.stdout.contains("line 1: cmdb/a runs_on cmdb/z: "), "{failed:?}");
    assert!(failed.stdout.contains("UNKNOWN_REFERENCE") && failed.stderr.contains("1 rows failed"), "{failed:?}");
    run(&["doctor"]).expect(0);
}

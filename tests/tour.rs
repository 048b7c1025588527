//! The README: its tour is run as it is written, and its table of settings is compared with the settings.

use std::process::Command;

use slipway::config::SETTINGS;

use crate::binary::*;

const README: &str = include_str!("../README.md");
/// Ends the output of a block, so that each can be compared with what the README says.
const END_OF_BLOCK: &str = "=== end of block ===";

/// The part of the README under a heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// The fenced blocks of a section: their language and their text.
fn blocks(section: &'static str) -> Vec<(&'static str, &'static str)> {
    let parts: Vec<&str> = section.split("```").collect();
    assert_eq!(parts.len() % 2, 1, "a fence is not closed");
    parts.into_iter().skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect()
}

#[test]
fn the_tour_of_the_readme_prints_what_the_readme_says() {
    let installation = Installation::new();
    let service = installation.serve();
    let (mut script, mut expected) = (String::from("set -euo pipefail\n"), Vec::<&str>::new());
    for (language, text) in blocks(section("Tour")) {
        match language {
            "bash" => {
                script.push_str(&format!("{text}echo '{END_OF_BLOCK}'\n"));
                expected.push("");
            }
            "text" => *expected.last_mut().unwrap() = text,
            other => panic!("the tour has a block in `{other}`"),
        }
    }
    assert!(expected.len() > 5);
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("API", format!("http://{}/api/v1", service.address))
        .env("PASSWORD", ADMIN_PASSWORD)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let failed = format!("{}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{failed}");
    let separator = format!("{END_OF_BLOCK}\n");
    let printed: Vec<&str> = printed.split_terminator(separator.as_str()).collect();
    assert_eq!(printed, expected, "{failed}");
    installation.run(&["doctor"]).expect(0);
}

#[test]
fn the_table_of_settings_in_the_readme_is_that_of_the_code() {
    let rows: Vec<Vec<&str>> = section("Configuration")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let expected: Vec<Vec<&str>> = SETTINGS
        .iter()
        .map(|setting| {
            let default = if setting.default.is_empty() { "-" } else { setting.default };
            vec![setting.key, setting.variable, default, setting.doc.trim_matches('`')]
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_exit_codes_in_the_readme_are_those_of_the_help() {
    let folder = Folder::new();
    let help = finish(binary(folder.path(), &["--help"]), "").expect(0).stdout;
    let told: Vec<&str> = help.split_once("Exit codes: ").unwrap().1.trim_end().split(" · ").collect();
    let rows: Vec<&str> = section("Command line").lines().filter(|line| line.starts_with("| ")).collect();
    for code in told {
        let (number, _) = code.split_once(' ').unwrap();
        assert!(rows.iter().any(|row| row.starts_with(&format!("| {number} | "))), "{code}");
    }
}

#[test]
fn every_command_is_in_the_readme() {
    let folder = Folder::new();
    let help = finish(binary(folder.path(), &["--help"]), "").expect(0).stdout;
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    for name in commands.lines().map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help") {
        assert!(section("Command line").contains(&format!("`slipway {name}")), "{name}");
    }
}

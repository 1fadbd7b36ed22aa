//! `tidegate-client check`: everything that a bot needs, looked at before the first bar.

use std::path::Path;
use std::process::ExitCode;

use tidegate_client::{Check, Config, check};

const USAGE: &str = "usage: tidegate-client check --config FILE [--json]
       tidegate-client settings

check     looks at settings, network, key, model, clock and heartbeat; exit code 0 when all pass, 1 when one does not, 2 for wrong arguments
settings  prints a file of settings with every default, to be edited";

const SETTINGS: &str = include_str!("../config/settings.toml");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["settings"] => {
            print!("{SETTINGS}");
            ExitCode::SUCCESS
        }
        ["check", "--config", file] => run(file, false),
        ["check", "--config", file, "--json"] | ["check", "--json", "--config", file] => run(file, true),
        ["--help" | "-h"] | ["check", "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(file: &str, json: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tidegate-client cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let found = runtime.block_on(check(Config::load(Path::new(file))));
    if json {
        match serde_json::to_string_pretty(&found) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("the result is no JSON: {error}"),
        }
    } else {
        show(&found);
    }
    if found.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn show(found: &Check) {
    for one in &found.checked {
        println!(
            "{}  {:<10} {}",
            if one.passed { "pass" } else { "FAIL" },
            one.name,
            one.detail
        );
        if let Some(next_step) = &one.next_step {
            println!("      next: {next_step}");
        }
    }
}

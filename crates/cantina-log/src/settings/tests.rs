use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn from_file(text: &str) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    Settings::load(&Flags { config: Some(path), values: Vec::new() }, none)
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = from_file(text).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn every_key_reads_back_what_it_shows() {
    let defaults = Settings::default();
    for key in KEYS.iter().filter(|key| key.name != "services") {
        let shown = (key.show)(&defaults);
        let mut settings = Settings::default();
        (key.set)(&mut settings, &Input::Text(&shown)).unwrap();
        assert_eq!((key.show)(&settings), shown, "{}", key.name);
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, "log_level = \"ERROR\"\nmax_memory_logs = 5\nbatch_size = 7\n").unwrap();
    let values = vec![("--log-level".into(), "log_level".into(), "debug".into())];
    let env = |name: &str| match name {
        "LOGGING_LEVEL" => Some("WARNING".to_owned()),
        "MAX_MEMORY_LOGS" => Some("6".to_owned()),
        _ => None,
    };
    let settings = Settings::load(&Flags { config: Some(path.clone()), values }, env).unwrap();
    assert_eq!(settings.log_level, Level::Debug);
    assert_eq!(settings.max_memory_logs.get(), 6);
    assert_eq!(settings.batch_size.get(), 7);
    assert_eq!(settings.origins["log_level"], Origin::Flag("--log-level".into()));
    assert_eq!(settings.origins["max_memory_logs"], Origin::Environment("MAX_MEMORY_LOGS"));
    assert_eq!(settings.origins["batch_size"], Origin::File(path));
}

#[test]
fn tables_are_read() {
    let settings = from_file(
        "[retention]\nmax_age_days = 3\n[rate_limit]\nper_service = 9\n\
         [services]\n\"cantina_os.x\" = { key = \"x\", name = \"The X\" }\n\"y\" = \"why\"\n",
    )
    .unwrap();
    assert_eq!((settings.max_age_days, settings.rate_limit_per_service), (3, 9));
    assert_eq!(settings.services["cantina_os.x"].name, "The X");
    assert_eq!(settings.services["y"].key, "why");
}

#[test]
fn a_key_of_a_later_version_may_say_that_it_is_not_there() {
    let text = "redact = false\n[retention]\nmin_free_bytes = 0\n";
    assert!(from_file(text).is_ok());
    check_error("redact = true", "`redact` in");
    check_error("[retention]\nmin_free_bytes = 1", "not available in this version");
}

#[test]
fn the_password_of_a_bus_is_not_shown() {
    let settings = from_file("bus = \"nats://me:secret@a:4222,b?stream=X\"\n").unwrap();
    assert_eq!(settings.bus.0, "nats://me:secret@a:4222,b?stream=X");
    let key = KEYS.iter().find(|key| key.name == "bus").unwrap();
    assert_eq!((key.show)(&settings), "nats://***@a:4222,b?stream=X");
    assert!(!format!("{settings:?}").contains("secret"));
    assert_eq!((key.show)(&Settings::default()), "memory:");
}

#[test]
fn what_is_wrong_is_named() {
    check_error("log_levle = 1", "unknown setting `log_levle`");
    check_error("log_levle = 1", "did you mean `log_level`?");
    check_error("[retention]\nmax_ages_days = 1", "did you mean `retention.max_age_days`?");
    check_error("log_level = \"loud\"", "`log_level` = \"loud\": expected DEBUG, INFO,");
    check_error("max_memory_logs = 0", "expected a whole number above 0");
    check_error("listen = \"8000\"", "expected an address with a port");
    check_error("sync_interval = -1", "expected a number of seconds");
    check_error("[services]\nx = 1", "(at `x`)");
    check_error("redact = true", "not available in this version");
    check_error("log_level = ", "is not TOML");
    let env = |name: &str| (name == "LOGGING_LEVEL").then(|| "loud".to_owned());
    let error = Settings::load(&Flags::default(), env).unwrap_err().to_string();
    assert!(
        error.starts_with("the environment variable LOGGING_LEVEL: `log_level` = `loud`"),
        "{error}"
    );
    let missing = Flags { config: Some("/nowhere/config.toml".into()), values: Vec::new() };
    let error = Settings::load(&missing, none).unwrap_err().to_string();
    assert!(error.contains("/nowhere/config.toml"), "{error}");
}

//! The Python client and the documentation's commands: python/tests, run by pytest with the program under test.

use crate::finish;
use std::path::Path;
use std::process::Command;

fn pytest(arguments: &[&str]) {
    let python = std::env::var("TAPELINE_TEST_PYTHON_CLIENT")
        .expect("TAPELINE_TEST_PYTHON_CLIENT: run `cargo xtask test`");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python");
    let output = Command::new(python)
        .args(["-m", "pytest", "-q"])
        .args(arguments)
        .current_dir(folder)
        .env("TAPELINE_BIN", env!("CARGO_BIN_EXE_tapeline"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (code, text) = finish(output);
    assert!(code == 0 && text.contains(" passed"), "{text}");
}

#[test]
#[ignore = "needs Python with pyarrow, pandas, Polars and DuckDB: cargo xtask test"]
fn the_python_client_reads_what_the_program_writes() {
    pytest(&["--ignore", "tests/test_docs.py"]);
}

#[test]
#[ignore = "needs Python with pyarrow, pandas, Polars and DuckDB: cargo xtask test"]
fn every_command_of_the_documentation_runs() {
    pytest(&["tests/test_docs.py"]);
}

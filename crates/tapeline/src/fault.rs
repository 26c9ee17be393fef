//! A panic is a fault of the program itself. It ends all of it, because a loop that is gone while the others go on
//! would leave records unread, or bars unbuilt, without a word.

use crate::cli::INTERNAL;

/// Ends the program when any thread panics, as a crash does: what was committed is safe, and the next start resumes
/// there.
pub(crate) fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        eprintln!("error: a fault of tapeline itself, reported above");
        eprintln!("hint: start again to resume from the last commit, and report the lines above");
        std::process::exit(i32::from(INTERNAL));
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    const CHILD: &str = "TAPELINE_TEST_CHILD_PANICS";

    #[test]
    fn a_panic_in_any_thread_ends_the_program_with_70() {
        if std::env::var_os(CHILD).is_some() {
            super::end_on_panic();
            let _ = std::thread::spawn(|| panic!("planted in a thread")).join();
            // What a loop in another thread would do.
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fault::tests::a_panic_in_any_thread_ends_the_program_with_70", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{text}");
        assert!(text.contains("planted in a thread") && text.contains("hint: start again"), "{text}");
    }
}

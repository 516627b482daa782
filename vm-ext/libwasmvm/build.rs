//! States which source the library was built from.

use std::process::Command;

fn main() {
    // A build from an archive has no git; the version must do then.
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| text.trim().to_string())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "no commit known".to_string());
    println!("cargo:rustc-env=AIINFERENCE_BUILD={commit}");
    // Follows commits, not every change of the tree: that would link the library anew each time.
    if let Ok(output) = Command::new("git")
        .args(["rev-parse", "--git-path", "logs/HEAD"])
        .output()
    {
        let path = String::from_utf8_lossy(&output.stdout);
        println!("cargo:rerun-if-changed={}", path.trim());
    }
}

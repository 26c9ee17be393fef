//! Cuts a server off from its clients: packets vanish, and no connection is reset.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// The table of the rules; nothing else is in it.
const TABLE: &str = "tapeline_chaos";

/// Until it is dropped, no packet passes between a server and its clients. Packets among servers do.
pub(crate) struct Cut;

impl Cut {
    /// Cuts off the server of a number at its clients' port.
    pub(crate) fn new(number: u8, port: u16) -> Result<Self> {
        let address = format!("127.0.0.{number}");
        nft(&format!("add table inet {TABLE}"))?;
        let cut = Self;
        nft(&format!("add chain inet {TABLE} packets {{ type filter hook input priority 0 ; }}"))?;
        for end in ["ip daddr", "ip saddr"] {
            let ports = if end == "ip daddr" { "tcp dport" } else { "tcp sport" };
            nft(&format!("add rule inet {TABLE} packets {end} {address} {ports} {port} drop"))?;
        }
        Ok(cut)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(error) = nft(&format!("delete table inet {TABLE}")) {
            eprintln!("the network is still cut: nft delete table inet {TABLE}: {error:#}");
        }
    }
}

fn nft(words: &str) -> Result<()> {
    let output = Command::new("nft").args(words.split(' ')).output().context("start nft")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft {words}: {}; it needs root", text.trim());
    Ok(())
}

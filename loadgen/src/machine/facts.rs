//! What distinguishes one machine from another, as far as it decides how fast a server looks on it.
//!
//! No fact identifies the machine itself: no host name, no address, no serial number.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{Kernel, kilobytes};
use crate::outcome::Machine;

/// Whether figures may be compared across different values of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// They may not: the fact is part of the machine's class.
    DecidesSpeed,
    /// They may: it only decides what fits.
    DecidesSize,
}

/// Facts that may differ within a class. All others are part of it.
const FACTS_OF_SIZE: &[&str] = &["cores_allowed", "microcode", "nofile_hard", "ports", "somaxconn", "tcp_mem"];

/// Whether `fact` is part of the class.
#[must_use]
pub fn weight(fact: &str) -> Weight {
    if FACTS_OF_SIZE.contains(&fact) { Weight::DecidesSize } else { Weight::DecidesSpeed }
}

/// Facts and class of this machine, without calibration. Takes about a millisecond.
#[must_use]
pub fn read(kernel: &Kernel) -> Machine {
    let mut facts = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.insert(name.to_owned(), value);
        }
    };
    let cpuinfo = kernel.proc_text("cpuinfo").unwrap_or_default();
    let uname = rustix::system::uname();
    add("architecture", Some(uname.machine().to_string_lossy().into_owned()));
    add("kernel", kernel.proc_text("sys/kernel/osrelease"));
    add("cpu", cpu_model(&cpuinfo));
    let stepping = first(&cpuinfo, "stepping").or_else(|| first(&cpuinfo, "CPU revision"));
    add("cpu_stepping", stepping.map(str::to_owned));
    add("cpu_flags", cpu_flags(&cpuinfo).map(|flags| short_hash(&flags)));
    add("microcode", first(&cpuinfo, "microcode").map(str::to_owned));
    add("cores", Some(cpuinfo.lines().filter(|line| key(line) == Some("processor")).count().to_string()));
    add("cores_allowed", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
    add("smt", kernel.sys_text("devices/system/cpu/smt/active").map(|text| on_or_off(&text)));
    add("hypervisor", Some(hypervisor(kernel, &cpuinfo)));
    add("memory_gib", kernel.proc_text("meminfo").and_then(|text| Some(gibibytes(kilobytes(&text, "MemTotal")?))));
    add("clocksource", kernel.sys_text("devices/system/clocksource/clocksource0/current_clocksource"));
    add("governor", kernel.sys_text("devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    add("turbo", turbo(kernel));
    add("mitigations", mitigations(kernel));
    add("cgroup_cores", quota_cores(kernel).map(|cores| format!("{cores:.2}")));
    add("huge_pages", kernel.sys_text("kernel/mm/transparent_hugepage/enabled").as_deref().and_then(chosen));
    let open_files = super::limits::own_open_files();
    add("nofile_hard", Some(open_files.hard.map_or_else(|| "unlimited".to_owned(), |files| files.to_string())));
    for (name, path) in [
        ("congestion", "net/ipv4/tcp_congestion_control"),
        ("ports", "net/ipv4/ip_local_port_range"),
        ("somaxconn", "net/core/somaxconn"),
        ("tcp_mem", "net/ipv4/tcp_mem"),
        ("tcp_rmem", "net/ipv4/tcp_rmem"),
        ("tcp_wmem", "net/ipv4/tcp_wmem"),
    ] {
        let text = kernel.proc_text(&format!("sys/{path}"));
        add(name, text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let class = class(&facts);
    Machine { facts, class, calibration: BTreeMap::new() }
}

/// A name for all machines whose facts of speed are the same: architecture, cores and a hash, as
/// `x86_64-2c-1a2b3c4d5e`. Fit for a folder's name.
#[must_use]
pub fn class(facts: &BTreeMap<String, String>) -> String {
    let of_speed: Vec<String> = facts
        .iter()
        .filter(|(name, _)| weight(name) == Weight::DecidesSpeed)
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let fact = |name: &str| facts.get(name).map_or("unknown", String::as_str);
    let readable: String = format!("{}-{}c", fact("architecture"), fact("cores"))
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '_' })
        .collect();
    format!("{readable}-{}", short_hash(&of_speed.concat()))
}

/// The first ten hexadecimal digits of the SHA-256.
fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

fn key(line: &str) -> Option<&str> {
    Some(line.split_once(':')?.0.trim())
}

/// The value of a key's first line.
fn first<'a>(cpuinfo: &'a str, wanted: &str) -> Option<&'a str> {
    let line = cpuinfo.lines().find(|line| key(line) == Some(wanted))?;
    Some(line.split_once(':')?.1.trim())
}

/// x86 has a name and three numbers; Arm has numbers, and big and little cores may differ.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    if let Some(name) = first(cpuinfo, "model name") {
        let number = |key| first(cpuinfo, key).unwrap_or("?");
        let (vendor, family, model) = (number("vendor_id"), number("cpu family"), number("model"));
        return Some(format!("{name} ({vendor} family {family} model {model})"));
    }
    let implementer = first(cpuinfo, "CPU implementer")?;
    let lines = cpuinfo.lines().filter(|line| key(line) == Some("CPU part"));
    let parts: BTreeSet<&str> = lines.filter_map(|line| Some(line.split_once(':')?.1.trim())).collect();
    let parts: Vec<&str> = parts.into_iter().collect();
    Some(format!("implementer {implementer} part {}", parts.join("+")))
}

/// Sorted, so that a kernel that lists them in another order has the same.
fn cpu_flags(cpuinfo: &str) -> Option<String> {
    let flags = first(cpuinfo, "flags").or_else(|| first(cpuinfo, "Features"))?;
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    Some(flags.into_iter().collect::<Vec<_>>().join(" "))
}

/// Of what the firmware says of itself, else by a clock that only guests have, else by the processor's flag.
fn hypervisor(kernel: &Kernel, cpuinfo: &str) -> String {
    let flagged = first(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|it| it == "hypervisor"));
    if let Some(kind) = kernel.sys_text("hypervisor/type") {
        return kind;
    }
    let dmi = |name: &str| kernel.sys_text(&format!("class/dmi/id/{name}")).unwrap_or_default();
    let product = format!("{} {}", dmi("sys_vendor"), dmi("product_name"));
    const GUESTS: &[&str] =
        &["QEMU", "KVM", "VMware", "VirtualBox", "Xen", "Amazon EC2", "Google", "Virtual", "OpenStack"];
    if flagged || GUESTS.iter().any(|guest| product.contains(guest)) && !product.contains(".metal") {
        let clocks =
            kernel.sys_text("devices/system/clocksource/clocksource0/available_clocksource").unwrap_or_default();
        let kind = [("kvm-clock", "kvm"), ("hyperv", "hyper-v"), ("xen", "xen"), ("vmware", "vmware")]
            .iter()
            .find(|(clock, _)| clocks.contains(clock))
            .map_or("unknown kind", |(_, kind)| kind);
        return if product.trim().is_empty() { kind.to_owned() } else { format!("{kind}, {}", product.trim()) };
    }
    "none".to_owned()
}

/// Of two machines of one kind, the kernel may hold back some megabytes more on one: whole gibibytes.
fn gibibytes(bytes: u64) -> String {
    ((bytes + (1 << 29)) >> 30).to_string()
}

fn on_or_off(text: &str) -> String {
    if text == "1" { "on" } else { "off" }.to_owned()
}

fn turbo(kernel: &Kernel) -> Option<String> {
    if let Some(off) = kernel.sys_text("devices/system/cpu/intel_pstate/no_turbo") {
        return Some(on_or_off(if off == "0" { "1" } else { "0" }));
    }
    kernel.sys_text("devices/system/cpu/cpufreq/boost").map(|text| on_or_off(&text))
}

/// `always [madvise] never`: the one in brackets.
fn chosen(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// How many vulnerabilities cost time here, and a hash of how each is met.
fn mitigations(kernel: &Kernel) -> Option<String> {
    let folder = kernel.sys.join("devices/system/cpu/vulnerabilities");
    let mut names: Vec<String> =
        std::fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let states: Vec<(String, String)> = names
        .into_iter()
        .filter_map(|name| {
            let state = kernel.sys_text(&format!("devices/system/cpu/vulnerabilities/{name}"))?;
            // A newer kernel knows more of them: what does not concern this processor is no difference.
            (state != "Not affected").then_some((name, state))
        })
        .collect();
    let active = states.iter().filter(|(_, state)| state.contains("Mitigation")).count();
    let text: String = states.iter().map(|(name, state)| format!("{name}: {state}\n")).collect();
    Some(format!("{active} active, {}", short_hash(&text)))
}

/// The smallest quota of CPU time of the control groups that this process is in, cores; none: no quota.
fn quota_cores(kernel: &Kernel) -> Option<f64> {
    let groups = kernel.proc_text("self/cgroup")?;
    let mut quotas = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|name| name == "cpu") {
            continue;
        }
        let mut path = path.trim_matches('/');
        loop {
            quotas.extend(if unified { quota_v2(kernel, path) } else { quota_v1(kernel, controllers, path) });
            if path.is_empty() {
                break;
            }
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    quotas.into_iter().min_by(f64::total_cmp)
}

/// `150000 100000` or `max 100000`.
fn quota_v2(kernel: &Kernel, path: &str) -> Option<f64> {
    let text = kernel.sys_text(&format!("fs/cgroup/{path}/cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

fn quota_v1(kernel: &Kernel, controllers: &str, path: &str) -> Option<f64> {
    let number = |name: &str| -> Option<f64> {
        let folders = [controllers, "cpu"];
        folders.iter().find_map(|folder| kernel.sys_text(&format!("fs/cgroup/{folder}/{path}/{name}")))?.parse().ok()
    };
    let (quota, period) = (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests;

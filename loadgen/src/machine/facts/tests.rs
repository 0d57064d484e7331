use super::*;

/// A machine in a folder.
struct Sample(tempfile::TempDir);

impl Sample {
    fn new(files: &[(&str, &str)]) -> Self {
        let sample = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            sample.write(path, text);
        }
        sample
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self) -> Machine {
        read(&Kernel::at(self.0.path().join("proc"), self.0.path().join("sys")))
    }
}

/// A rented guest of one core, as its kernel 5.4 showed it (shortened).
const EPYC: &str = include_str!("samples/cpuinfo-epyc-guest.txt");
/// Arm, where the processor has no name.
const ARM: &str = include_str!("samples/cpuinfo-arm.txt");
const CLOCKS: &str = "sys/devices/system/clocksource/clocksource0/available_clocksource";

fn epyc() -> Sample {
    Sample::new(&[
        ("proc/cpuinfo", EPYC),
        ("proc/meminfo", "MemTotal:        2027940 kB\nMemFree:          95336 kB\n"),
        ("proc/sys/kernel/osrelease", "5.4.0-121-generic\n"),
        ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
        ("proc/sys/net/core/somaxconn", "4096\n"),
        ("proc/self/cgroup", "0::/user.slice/work.scope\n"),
        (CLOCKS, "kvm-clock tsc acpi_pm \n"),
        ("sys/class/dmi/id/sys_vendor", "Tencent Cloud\n"),
        ("sys/class/dmi/id/product_name", "CVM\n"),
        ("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"),
        ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Full AMD retpoline\n"),
        ("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/user.slice/work.scope/cpu.max", "max 100000\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ])
}

#[test]
fn facts_of_a_guest() {
    let machine = epyc().read();
    let table = [
        ("cpu", "AMD EPYC 7K62 48-Core Processor (AuthenticAMD family 23 model 49)"),
        ("cpu_stepping", "0"),
        ("microcode", "0x1000065"),
        ("cores", "1"),
        ("kernel", "5.4.0-121-generic"),
        ("hypervisor", "kvm, Tencent Cloud CVM"),
        ("memory_gib", "2"),
        ("tcp_wmem", "4096 16384 4194304"),
        ("somaxconn", "4096"),
        ("cgroup_cores", "1.50"),
        ("huge_pages", "madvise"),
    ];
    for (name, wanted) in table {
        assert_eq!(machine.facts.get(name).map(String::as_str), Some(wanted), "{name}");
    }
    assert!(machine.facts["mitigations"].starts_with("1 active, "), "{}", machine.facts["mitigations"]);
    assert_eq!(machine.facts.get("governor"), None, "a fact that is not known is absent");
}

#[test]
fn facts_of_arm() {
    let sample = Sample::new(&[("proc/cpuinfo", ARM), ("sys/devices/system/cpu/cpufreq/boost", "1\n")]);
    let machine = sample.read();
    assert_eq!(machine.facts["cpu"], "implementer 0x41 part 0xd05+0xd0c");
    assert_eq!(machine.facts["cpu_stepping"], "1");
    assert_eq!(machine.facts["cores"], "3");
    assert_eq!(machine.facts["hypervisor"], "none");
    assert_eq!(machine.facts["turbo"], "on");
}

#[test]
fn hypervisors() {
    let flag = "processor : 0\nmodel name : x\nflags : fpu hypervisor\n";
    let table: [(&[(&str, &str)], &str); 6] = [
        (&[("proc/cpuinfo", flag)], "unknown kind"),
        (&[("proc/cpuinfo", flag), (CLOCKS, "tsc kvm-clock")], "kvm"),
        (&[("proc/cpuinfo", flag), (CLOCKS, "hyperv_clocksource_tsc_page")], "hyper-v"),
        (&[("proc/cpuinfo", flag), ("sys/hypervisor/type", "xen\n")], "xen"),
        (&[("proc/cpuinfo", ARM), ("sys/class/dmi/id/sys_vendor", "Amazon EC2")], "unknown kind, Amazon EC2"),
        (&[("sys/class/dmi/id/sys_vendor", "Amazon EC2"), ("sys/class/dmi/id/product_name", "c7g.metal")], "none"),
    ];
    for (files, wanted) in table {
        assert_eq!(Sample::new(files).read().facts["hypervisor"], wanted);
    }
}

#[test]
fn quota_of_version_1() {
    let sample = epyc();
    sample.write("proc/self/cgroup", "4:memory:/a\n1:cpu,cpuacct:/a/b\n");
    sample.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    sample.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    sample.write("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "50000\n");
    sample.write("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    assert_eq!(sample.read().facts["cgroup_cores"], "0.50");
}

#[test]
fn class_is_of_the_facts_that_decide_speed() {
    let sample = epyc();
    let class = sample.read().class;
    assert_eq!(class, sample.read().class, "the same twice");
    assert!(class.len() < 40 && class.contains("-1c-"), "{class}");
    assert!(class.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)), "{class}");

    sample.write("proc/sys/net/core/somaxconn", "128\n");
    assert_eq!(sample.read().class, class, "a limit only decides what fits");
    sample.write("proc/meminfo", "MemTotal:        2027000 kB\n");
    assert_eq!(sample.read().class, class, "some pages less");
    let flags = EPYC.replace("fpu vme de", "de vme fpu");
    sample.write("proc/cpuinfo", &flags);
    assert_eq!(sample.read().class, class, "flags in another order");
    sample.write("sys/devices/system/cpu/vulnerabilities/vmscape", "Not affected\n");
    assert_eq!(sample.read().class, class, "a newly found problem that this processor has not");

    for (path, text) in [
        ("proc/sys/net/ipv4/tcp_wmem", "4096 16384 65536"),
        ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Vulnerable\n"),
        ("proc/cpuinfo", &EPYC.replace("sha_ni", "")),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
    ] {
        let sample = epyc();
        sample.write(path, text);
        assert_ne!(sample.read().class, class, "{path}");
    }
}

#[test]
fn this_machine_has_the_facts_that_every_linux_has() {
    let machine = read(&Kernel::default());
    for name in ["architecture", "kernel", "cores", "cores_allowed", "hypervisor", "memory_gib", "tcp_rmem", "ports"] {
        assert!(machine.facts.contains_key(name), "{name}: {:?}", machine.facts);
    }
    assert_eq!(class(&machine.facts), machine.class);
}

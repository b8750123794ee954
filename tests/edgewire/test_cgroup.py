"""The limits of control groups are found in both versions, nested, and as a container sees them."""

from pathlib import Path

import pytest

from edgewire.cgroup import CgroupLimits, CpuThrottling, read_cgroup_limits, read_cpu_throttling

MIB = 1 << 20
V2 = "30 1 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = "31 1 0:2 {root} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"


def machine(tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A folder with the files of a machine's /proc and /sys."""
    files = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts} | {
        f"sys/fs/cgroup/{name}": text for name, text in files.items()
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_version_2_takes_the_tightest_limit_on_the_way_up(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "0::/kubepods/pod1/app\n",
        V2.format(root="/"),
        {
            "kubepods/memory.max": "max\n",
            "kubepods/pod1/memory.max": f"{114 * MIB}\n",
            "kubepods/pod1/memory.current": f"{100 * MIB}\n",
            "kubepods/pod1/memory.stat": f"anon 1\ninactive_file {10 * MIB}\n",
            "kubepods/pod1/app/memory.max": f"{500 * MIB}\n",
            "kubepods/pod1/app/memory.current": f"{20 * MIB}\n",
            "kubepods/cpu.max": "150000 100000\n",
            "kubepods/pod1/cpu.max": "50000 100000\n",
            "kubepods/pod1/cpu.stat": "usage_usec 5\nnr_periods 40\nnr_throttled 30\nthrottled_usec 2500000\n",
            "kubepods/pod1/app/cpu.max": "max 100000\n",
            "kubepods/pod1/app/cpu.stat": "usage_usec 5\n",
        },
    )
    assert read_cgroup_limits(root) == CgroupLimits(
        memory_limit_bytes=114 * MIB, memory_left_bytes=24 * MIB, cpu_quota_cores=0.5
    )
    throttling = read_cpu_throttling(root)
    assert throttling == CpuThrottling(40, 30, 2.5)
    assert throttling.since(CpuThrottling(10, 25, 2.0)) == CpuThrottling(30, 5, 0.5)


def test_version_1_names_the_limit_of_a_group_out_of_sight(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        # As Docker mounts it: the container's own group is the top.
        V1.format(root="/docker/abc", name="memory")
        + "32 1 0:3 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        + "33 1 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/memory.usage_in_bytes": f"{50 * MIB}\n",
            "memory/memory.stat": f"hierarchical_memory_limit {114 * MIB}\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "25000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/cpu.stat": "nr_periods 8\nnr_throttled 7\nthrottled_time 1500000000\n",
        },
    )
    assert read_cgroup_limits(root) == CgroupLimits(
        memory_limit_bytes=114 * MIB, memory_left_bytes=64 * MIB, cpu_quota_cores=0.25
    )
    assert read_cpu_throttling(root) == CpuThrottling(8, 7, 1.5)


@pytest.mark.parametrize("path", ["/", "/../../elsewhere", "/other"])
def test_a_group_outside_of_what_is_mounted_is_the_top_of_it(tmp_path: Path, path: str) -> None:
    root = machine(
        tmp_path,
        f"0::{path}\n",
        V2.format(root="/" if path.startswith("/..") else "/pod" if path == "/other" else path),
        {"memory.max": f"{64 * MIB}\n", "memory.current": "0\n"},
    )
    assert read_cgroup_limits(root).memory_limit_bytes == 64 * MIB


def test_no_limit_no_groups_and_nonsense_are_no_limit(tmp_path: Path) -> None:
    assert read_cgroup_limits(tmp_path) == CgroupLimits()
    assert read_cpu_throttling(tmp_path) == CpuThrottling()
    root = machine(
        tmp_path,
        "x\n5:memory:/a\n4:cpu:/a\n",
        "short\n" + V1.format(root="/", name="memory") + V1.format(root="/", name="cpu"),
        {
            "memory/a/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/a/memory.stat": "hierarchical_memory_limit 9223372036854771712\nbroken\n",
            "cpu/a/cpu.cfs_quota_us": "-1\n",
            "cpu/a/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_cgroup_limits(root) == CgroupLimits()


def test_the_limits_of_this_machine_can_be_read() -> None:
    limits = read_cgroup_limits()
    assert limits.memory_limit_bytes is None or limits.memory_limit_bytes > 0
    assert limits.cpu_quota_cores is None or limits.cpu_quota_cores > 0

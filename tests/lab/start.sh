#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Second stage of a lab machine, on the host's files: mounts what a host with systemd would have, on a
# pure cgroup v2 layout, and runs the command that machine.py left in /run/lab.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
cd /

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
[[ -e /dev/fd ]] || ln -s /proc/self/fd /dev/fd
mount -t tmpfs -o mode=1777 tmpfs /var/tmp

mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in cpu io memory pids cpuset; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done

mkdir -p /lib/modules
ln -sfn "$(</run/lab/modules)" "/lib/modules/$(uname -r)"
command -v modprobe >/proc/sys/kernel/modprobe

ip link set lo up 2>/dev/null
hostname "lab-$(</run/lab/name)"

if [[ -e /run/lab/shell ]]; then
    setsid -c -w /run/lab/command
else
    /run/lab/command >/run/lab/output 2>&1 </dev/null
    echo $? >/run/lab/status
fi
sync
echo o >/proc/sysrq-trigger
sleep 60

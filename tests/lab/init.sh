#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
# First process of a lab machine: makes the host's files its root, writable in memory only, and hands
# over to start.sh there. Runs on busybox; what it needs is in the initramfs that machine.py builds.
export PATH=/bin
busybox mkdir -p /proc /lower /over /root
busybox mount -t proc proc /proc

while read -r module; do
    busybox insmod "/modules/$module" || busybox echo "lab: cannot load $module"
done </modules/order

p9=trans=virtio,version=9p2000.L,msize=512000
busybox mount -t 9p -o "$p9,cache=loose,ro" lab-root /lower &&
    busybox mount -t tmpfs -o mode=755 tmpfs /over &&
    busybox mkdir /over/upper /over/work &&
    busybox mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /root &&
    busybox mkdir -p /root/run/lab &&
    busybox mount -t tmpfs tmpfs /root/run &&
    busybox mkdir -p /root/run/lab &&
    busybox mount -t 9p -o "$p9" lab-results /root/run/lab &&
    busybox umount /proc &&
    exec busybox switch_root /root /bin/bash "$(busybox cat /start)"

busybox echo "lab: cannot mount the root"
busybox poweroff -f

#!/bin/busybox sh
# The first program of a kernel that `cargo xtask test kernel` boots: this machine's files, read only, with memory above them.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do
    $b insmod "/modules/$module" || echo "module $module is not loaded"
done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /host
$b mount -t tmpfs memory /memory
$b mkdir /memory/upper /memory/work
$b mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root
for tree in proc sys dev; do
    $b mount --move /$tree /root/$tree
done
$b mount -t tmpfs run /root/run
$b mkdir -p /root/dev/pts /root/dev/shm
$b mount -t devpts devpts /root/dev/pts
$b mount -t tmpfs shm /root/dev/shm
$b mount -t bpf bpf /root/sys/fs/bpf
$b mount -t cgroup2 cgroup /root/sys/fs/cgroup
$b mount -t tracefs tracefs /root/sys/kernel/tracing
$b cp /job.sh $b /root/dev/shm/
# Not chroot: who enters a mount namespace anew comes to its root.
exec $b switch_root /root /bin/sh -c '/bin/sh /dev/shm/job.sh; echo "job: ended"; exec /dev/shm/busybox poweroff -f'

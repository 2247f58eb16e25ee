//go:build linux && amd64

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// task is the guest's task.
type task struct {
	Args []string // of the test binary
	Dir  string   // the package's folder
}

// host puts the test on a CD image, boots a PC from it, and returns the test's exit status.
func host() (int, error) {
	if len(os.Args) < 3 {
		return 0, errors.New("usage: avx512 VMLINUZ TEST [ARGUMENT...]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT) // go test sends SIGQUIT
	defer stop()
	dir, err := os.MkdirTemp("", "avx512-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := writeCD(ctx, dir, os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		return 0, fmt.Errorf("write the CD: %w", err)
	}
	return boot(ctx, dir)
}

// The kernel's command line, and through it the environment of every process: the kernel passes on what it does not
// know itself.
//
// Bochs 2.7 has three errors. It has no IA32_MISC_ENABLE, so Linux assumes that fast strings are disabled; if FSRM
// contradicts this, Linux 6.1's memmove has no way to copy. Its CPUID lacks PKRU's area and reports compacted XSAVE
// areas incorrectly, and Linux disables AVX for either reason. And VGF2P8AFFINEQB inverts all bits, which Go's
// garbage collector uses to find live objects.
//
// Self-tests and certificates would take half a minute. After a panic the PC resets by a triple fault, which ends
// Bochs.
const commandLine = "console=ttyS0,115200 loglevel=3 clearcpuid=fsrm,pku,xsaves,xsavec GOGC=off " +
	"mitigations=off tsc=reliable random.trust_cpu=on i8042.nokbd i8042.noaux " +
	"cryptomgr.notests initcall_blacklist=load_system_certificate_list panic=-1 reboot=t"

func writeCD(ctx context.Context, dir, vmlinuz, test string, args []string) error {
	cd := filepath.Join(dir, "cd")
	if err := os.Mkdir(cd, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"} {
		if err := copyFile(filepath.Join(cd, filepath.Base(file)), file); err != nil {
			return fmt.Errorf("%w: install Debian's isolinux and syslinux-common", err)
		}
	}
	if err := copyFile(filepath.Join(cd, "vmlinuz"), vmlinuz); err != nil {
		return err
	}
	config := "default linux\nlabel linux\n kernel vmlinuz\n append initrd=initrd " + commandLine + "\n"
	if err := os.WriteFile(filepath.Join(cd, "isolinux.cfg"), []byte(config), 0o644); err != nil {
		return err
	}
	if err := writeInitrd(filepath.Join(cd, "initrd"), test, args); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "genisoimage", "-quiet", "-o", filepath.Join(dir, "cd.iso"), "-b", "isolinux.bin", "-c", "boot.cat",
		"-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", cd).CombinedOutput()
	if err != nil {
		return fmt.Errorf("genisoimage: %w: %s", err, out)
	}
	return nil
}

func writeInitrd(path, test string, args []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	job, err := json.Marshal(task{args, wd})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	a := newArchive(f)
	a.device("/dev/console", 5, 1)
	a.device("/dev/null", 1, 3)
	for _, dir := range []string{"/proc", "/sys", "/tmp"} {
		a.folder(dir)
	}
	a.file("/task", job)
	a.copy("/init", self)
	a.copy("/test", test)
	a.tree(wd)
	for dir := wd; dir != "/"; dir = filepath.Dir(dir) {
		if mod := filepath.Join(dir, "go.mod"); exists(mod) {
			a.copy(mod, mod)
		}
	}
	if err := a.close(); err != nil {
		return err
	}
	return f.Close()
}

// Bochs measures time in instructions, of which "ips" make a second for devices: few, so that devices are fast. The
// CPU's own clock, which Linux uses, counts 1.5 billion per second.
const bochsrc = `cpu: model=corei7_icelake_u, ips=4000000, reset_on_triple_fault=0
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
display_library: term
ata0-master: type=cdrom, path=cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=/dev/fd/3
clock: sync=none
speaker: enabled=0
sound: waveoutdrv=dummy
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
`

// boot runs the PC until it powers off and prints the output of its serial port. The guest's last line is the exit
// status.
func boot(ctx context.Context, dir string) (status int, err error) {
	// Debian's Bochs has a debugger, which waits for this command.
	for file, text := range map[string]string{"bochsrc": bochsrc, "continue": "c\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return 0, err
		}
	}
	serial, port, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer serial.Close()
	bochs := exec.CommandContext(ctx, "bochs-bin", "-q", "-f", "bochsrc", "-rc", "continue")
	bochs.Dir = dir
	bochs.Env = append(os.Environ(), "TERM=xterm") // it writes the screen to its own terminal
	bochs.ExtraFiles = []*os.File{port}
	runtime.LockOSThread() // the child's parent-death signal is tied to the thread
	bochs.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := bochs.Start(); err != nil {
		port.Close()
		return 0, err
	}
	port.Close()
	status = -1
	for lines := bufio.NewScanner(serial); lines.Scan(); {
		line := strings.TrimRight(lines.Text(), "\r")
		if n, _ := fmt.Sscanf(line, exitFormat, &status); n == 0 && status < 0 {
			fmt.Println(line)
		}
	}
	err = bochs.Wait() // always an error, because it treats power-off as a panic
	if status >= 0 {
		return status, nil
	}
	log, _ := os.ReadFile(filepath.Join(dir, "bochs.log"))
	return 0, fmt.Errorf("the PC ended before its test: %w: %s", errors.Join(ctx.Err(), err), log)
}

package host

import (
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// wasiModule is the import module of WASI 0.1, "preview 1".
const wasiModule = "wasi_snapshot_preview1"

// Error numbers of WASI 0.1.
const (
	wasiOK     = 0
	wasiBADF   = 8
	wasiINVAL  = 28
	wasiNOSYS  = 52
	wasiSPIPE  = 70
	wasiStdout = 1
	wasiStderr = 2
)

const (
	maxVectors       = 1024    // of one fd_write
	maxSubscriptions = 64      // of one poll_oneoff
	maxRandom        = 1 << 20 // bytes of one random_get
	// monotonicBase keeps the monotonic clock from ever being 0, which some runtimes take for "not set".
	monotonicBase = uint64(time.Second)
)

// wasiFunctions are all functions of WASI 0.1, so that whatever a toolchain imports resolves. The few that a guest without
// files, network and environment needs do something; the others answer an error number. None of them keeps anything between
// two calls.
func wasiFunctions() []hostFunction {
	return []hostFunction{
		{"args_get", "ii", "i", wasiNothing},
		{"args_sizes_get", "ii", "i", wasiNoStrings},
		{"clock_res_get", "ii", "i", wasiClockRes},
		{"clock_time_get", "iIi", "i", wasiClockTime},
		{"environ_get", "ii", "i", wasiNothing},
		{"environ_sizes_get", "ii", "i", wasiNoStrings},
		{"fd_advise", "iIIi", "i", wasiNoFile},
		{"fd_allocate", "iII", "i", wasiNoFile},
		{"fd_close", "i", "i", wasiStream},
		{"fd_datasync", "i", "i", wasiNoFile},
		{"fd_fdstat_get", "ii", "i", wasiFdstat},
		{"fd_fdstat_set_flags", "ii", "i", wasiStream},
		{"fd_fdstat_set_rights", "iII", "i", wasiNoFile},
		{"fd_filestat_get", "ii", "i", wasiNoFile},
		{"fd_filestat_set_size", "iI", "i", wasiNoFile},
		{"fd_filestat_set_times", "iIIi", "i", wasiNoFile},
		{"fd_pread", "iiiIi", "i", wasiNoFile},
		{"fd_prestat_dir_name", "iii", "i", wasiNoFile},
		{"fd_prestat_get", "ii", "i", wasiNoFile},
		{"fd_pwrite", "iiiIi", "i", wasiNoFile},
		{"fd_read", "iiii", "i", wasiNoFile},
		{"fd_readdir", "iiiIi", "i", wasiNoFile},
		{"fd_renumber", "ii", "i", wasiNoFile},
		{"fd_seek", "iIii", "i", wasiSeek},
		{"fd_sync", "i", "i", wasiNoFile},
		{"fd_tell", "ii", "i", wasiNoFile},
		{"fd_write", "iiii", "i", wasiWrite},
		{"path_create_directory", "iii", "i", wasiNoSystem},
		{"path_filestat_get", "iiiii", "i", wasiNoSystem},
		{"path_filestat_set_times", "iiiiIIi", "i", wasiNoSystem},
		{"path_link", "iiiiiii", "i", wasiNoSystem},
		{"path_open", "iiiiiIIii", "i", wasiNoSystem},
		{"path_readlink", "iiiiii", "i", wasiNoSystem},
		{"path_remove_directory", "iii", "i", wasiNoSystem},
		{"path_rename", "iiiiii", "i", wasiNoSystem},
		{"path_symlink", "iiiii", "i", wasiNoSystem},
		{"path_unlink_file", "iii", "i", wasiNoSystem},
		{"poll_oneoff", "iiii", "i", wasiPoll},
		{"proc_exit", "i", "", wasiExit},
		{"proc_raise", "i", "i", wasiNoSystem},
		{"random_get", "ii", "i", wasiRandom},
		{"sched_yield", "", "i", wasiNothing},
		{"sock_accept", "iii", "i", wasiNoSystem},
		{"sock_recv", "iiiiii", "i", wasiNoSystem},
		{"sock_send", "iiiii", "i", wasiNoSystem},
		{"sock_shutdown", "ii", "i", wasiNoSystem},
	}
}

func wasiNothing(_ *instance, _ api.Module, stack []uint64)  { answer(stack, wasiOK) }
func wasiNoFile(_ *instance, _ api.Module, stack []uint64)   { answer(stack, wasiBADF) }
func wasiNoSystem(_ *instance, _ api.Module, stack []uint64) { answer(stack, wasiNOSYS) }

// answer sets the result of a function. A function without parameters has a place for its result too.
func answer(stack []uint64, errno uint64) { stack[0] = errno }

// wasiNoStrings is args_sizes_get and environ_sizes_get: (count, bytes) are both 0.
func wasiNoStrings(_ *instance, guest api.Module, stack []uint64) {
	putUint32(guest, "sizes_get", uint32(stack[0]), 0)
	putUint32(guest, "sizes_get", uint32(stack[1]), 0)
	answer(stack, wasiOK)
}

// wasiStream answers for fd_close and fd_fdstat_set_flags that the standard streams, and nothing else, are there.
func wasiStream(_ *instance, _ api.Module, stack []uint64) {
	if uint32(stack[0]) <= wasiStderr {
		answer(stack, wasiOK)
		return
	}
	answer(stack, wasiBADF)
}

// wasiSeek says that the standard streams cannot seek, by which C libraries know that they are none of their files.
func wasiSeek(_ *instance, _ api.Module, stack []uint64) {
	if uint32(stack[0]) <= wasiStderr {
		answer(stack, wasiSPIPE)
		return
	}
	answer(stack, wasiBADF)
}

// wasiFdstat describes the standard streams as character devices that can be written: 24 bytes, filetype 2, flags 0, the
// right fd_write.
func wasiFdstat(i *instance, guest api.Module, stack []uint64) {
	if uint32(stack[0]) > wasiStderr {
		answer(stack, wasiBADF)
		return
	}
	stat := i.view(guest, "fd_fdstat_get", uint32(stack[1]), 24)
	clear(stat)
	stat[0] = 2
	stat[8] = 1 << 6
	answer(stack, wasiOK)
}

// wasiWrite is fd_write(fd, vectors, count, written): lines for the log.
func wasiWrite(i *instance, guest api.Module, stack []uint64) {
	fd, vectors, count, written := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	level := slog.LevelInfo
	switch fd {
	case wasiStdout:
	case wasiStderr:
		level = slog.LevelError
	default:
		answer(stack, wasiBADF)
		return
	}
	if count > maxVectors {
		answer(stack, wasiINVAL)
		return
	}
	var total uint64
	list := i.view(guest, "fd_write", vectors, count*8)
	for ; len(list) > 0; list = list[8:] {
		text := i.view(guest, "fd_write", binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
		total += uint64(len(text))
		i.logs.write(i, level, text)
	}
	putUint32(guest, "fd_write", written, uint32(min(total, math.MaxInt32)))
	answer(stack, wasiOK)
}

// wasiClock returns a clock's nanoseconds: 0 is the time of day, 1 and the CPU clocks the time since the host began.
func (i *instance) wasiClock(id uint32) (uint64, bool) {
	h := i.module.host
	switch id {
	case 0:
		return uint64(h.options.Clock.Now().UnixNano()), true
	case 1, 2, 3:
		return monotonicBase + uint64(h.options.Clock.Now().Sub(h.began)), true
	default:
		return 0, false
	}
}

// wasiClockTime is clock_time_get(id, precision, time).
func wasiClockTime(i *instance, guest api.Module, stack []uint64) {
	now, ok := i.wasiClock(uint32(stack[0]))
	if !ok {
		answer(stack, wasiINVAL)
		return
	}
	putUint64(guest, "clock_time_get", uint32(stack[2]), now)
	answer(stack, wasiOK)
}

// wasiClockRes is clock_res_get(id, resolution): a nanosecond.
func wasiClockRes(i *instance, guest api.Module, stack []uint64) {
	if _, ok := i.wasiClock(uint32(stack[0])); !ok {
		answer(stack, wasiINVAL)
		return
	}
	putUint64(guest, "clock_res_get", uint32(stack[1]), 1)
	answer(stack, wasiOK)
}

// wasiRandom is random_get(buf, len).
func wasiRandom(i *instance, guest api.Module, stack []uint64) {
	size := uint32(stack[1])
	if size > maxRandom {
		answer(stack, wasiINVAL)
		return
	}
	buf := i.view(guest, "random_get", uint32(stack[0]), size)
	if _, err := io.ReadFull(i.module.host.options.Random, buf); err != nil {
		fail("random_get: the host has no randomness: %v", err)
	}
	answer(stack, wasiOK)
}

// wasiPoll is poll_oneoff(subscriptions, events, count, happened). Clocks sleep until the first of them is due, at most to
// the deadline; any other subscription is answered at once with an error, because there is nothing to wait for.
func wasiPoll(i *instance, guest api.Module, stack []uint64) {
	const subscriptionBytes, eventBytes = 48, 32
	in, out, count, happened := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if count == 0 || count > maxSubscriptions {
		answer(stack, wasiINVAL)
		return
	}
	// The lists are copied: the guest may have given overlapping places for them.
	subscriptions := append([]byte(nil), i.view(guest, "poll_oneoff", in, count*subscriptionBytes)...)
	wait := uint64(math.MaxUint64)
	for s := subscriptions; len(s) > 0; s = s[subscriptionBytes:] {
		wait = min(wait, i.pollWait(s))
	}
	if wait > 0 {
		i.sleep(time.Duration(min(wait, math.MaxInt64)))
	}
	events := make([]byte, 0, count*eventBytes)
	for s := subscriptions; len(s) > 0; s = s[subscriptionBytes:] {
		if i.pollWait(s) > wait {
			continue
		}
		var event [eventBytes]byte
		copy(event[:8], s[:8]) // the guest's own mark
		event[10] = s[8]       // the kind
		if s[8] != 0 {
			event[8] = wasiNOSYS
		} else if _, ok := i.wasiClock(binary.LittleEndian.Uint32(s[16:])); !ok {
			event[8] = wasiINVAL
		}
		events = append(events, event[:]...)
	}
	copy(i.view(guest, "poll_oneoff", out, uint32(len(events))), events)
	putUint32(guest, "poll_oneoff", happened, uint32(len(events)/eventBytes))
	answer(stack, wasiOK)
}

// pollWait returns how many nanoseconds it is until a subscription is due; 0 for what cannot be waited for.
func (i *instance) pollWait(subscription []byte) uint64 {
	const clockKind, absolute = 0, 1
	now, ok := i.wasiClock(binary.LittleEndian.Uint32(subscription[16:]))
	if subscription[8] != clockKind || !ok {
		return 0
	}
	timeout := binary.LittleEndian.Uint64(subscription[24:])
	if binary.LittleEndian.Uint16(subscription[40:])&absolute == 0 {
		return timeout
	}
	return timeout - min(timeout, now)
}

// sleep returns after d, or ends the call when its deadline or the host's wish comes first.
func (i *instance) sleep(d time.Duration) {
	clock := i.module.host.options.Clock
	d = min(d, i.call.deadline.Sub(clock.Now()))
	i.rest()
	over := make(chan struct{})
	timer := clock.AfterFunc(d, func() { close(over) })
	select {
	case <-over:
	case <-i.call.done:
		timer.Stop()
	}
	i.checkpoint()
}

// wasiExit is proc_exit(code): no way to end an invocation, whatever the code.
func wasiExit(_ *instance, _ api.Module, stack []uint64) {
	fail("it exited with code %d; a plugin returns instead", uint32(stack[0]))
}

func putUint32(guest api.Module, function string, ptr, v uint32) {
	if !guest.Memory().WriteUint32Le(ptr, v) {
		fail("%s: 4 bytes at %#x are outside of its memory", function, ptr)
	}
}

func putUint64(guest api.Module, function string, ptr uint32, v uint64) {
	if !guest.Memory().WriteUint64Le(ptr, v) {
		fail("%s: 8 bytes at %#x are outside of its memory", function, ptr)
	}
}

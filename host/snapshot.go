package host

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/sdk/abi"
)

// snapshot is the state of a module's first instance after its initialisation, the call for the manifest and the warm-up. With
// IsolationFresh every invocation begins with it.
type snapshot struct {
	image   image
	globals []uint64 // as module.globals
}

// image is a memory's content, which any number of instances begin with.
type image interface {
	// size returns how long the content is, in bytes, until it is freed.
	size() int
	// space returns a space of at most limit bytes for the memory of one instance. The caller restores it before the content is
	// in it, and frees it before the image is freed.
	space(limit int64) (restorable, error)
	free()
}

// restorable is a space whose first bytes can be made what the image has.
type restorable interface {
	space
	// restore makes the first bytes, as many as the image has, what they are there. extend has had as many before.
	restore() error
}

// copied is an image that is copied to each memory: plain, and what there is where no memory can be mapped.
type copied []byte

func copyImage(content []byte) (image, error) { return copied(append([]byte(nil), content...)), nil }

func (c copied) size() int                       { return len(c) }
func (c copied) space(int64) (restorable, error) { return &copiedSpace{image: c}, nil }
func (c copied) free()                           {}

type copiedSpace struct {
	heap
	image copied
}

func (s *copiedSpace) restore() error {
	copy(s.bytes, s.image)
	return nil
}

// renewed takes the first instance of a module with IsolationFresh and returns one to begin with, or nil when each invocation makes
// its own.
func (m *module) renewed(ctx context.Context, first *instance) (*instance, error) {
	if err := m.freshen(ctx, first); err != nil || m.snapshot == nil {
		return nil, err
	}
	return m.newInstance(ctx)
}

// freshen prepares a module whose first instance has told its manifest for IsolationFresh. The instance is used up. A module
// whose state cannot be restored gets no snapshot.
func (m *module) freshen(ctx context.Context, first *instance) error {
	defer first.close()
	if m.unrestorable != "" {
		m.host.options.Logger.Warn("each invocation of a plugin makes a new instance, which takes long: its isolation is fresh, and its "+
			"state cannot be restored", "plugin", m.name, "cause", m.unrestorable)
		return nil
	}
	if err := first.warm(ctx); err != nil {
		return err
	}
	size := int64(first.guest.Memory().Size())
	if !m.host.memory.keep(m.pool, size) {
		return fmt.Errorf("no memory is left for the snapshot of %d bytes that its isolation needs: the instances of all plugins together "+
			"are at the limit of %s", size, m.host.memory)
	}
	content, _ := first.guest.Memory().Read(0, uint32(size))
	image, err := m.host.freeze(content)
	if err != nil {
		m.host.memory.drop(size)
		return fmt.Errorf("take a snapshot of its memory: %w", err)
	}
	m.snapshot = &snapshot{image: image}
	for _, g := range m.globals {
		m.snapshot.globals = append(m.snapshot.globals, first.guest.ExportedGlobal(g.Export).Get())
	}
	return nil
}

// forget frees the snapshot. No instance is left.
func (m *module) forget() {
	if m.snapshot != nil {
		m.host.memory.drop(int64(m.snapshot.image.size()))
		m.snapshot.image.free()
		m.snapshot = nil
	}
}

// warm calls the guest's warm-up, if it has one.
func (i *instance) warm(ctx context.Context) error {
	warm := i.guest.ExportedFunction(abi.ExportWarm)
	if warm == nil {
		return nil
	}
	i.begin(phaseWarm, ctx.Done())
	defer i.end()
	i.stack.of(warm)
	defer i.stack.of(i.invoke)
	if err := warm.CallWithStack(i, nil); err != nil {
		return i.explain(ctx, abi.ExportWarm, err)
	}
	return nil
}

// stamp gives a new instance the state of the snapshot, in the place of its initialisation.
func (i *instance) stamp() error {
	s := i.module.snapshot
	have, want := int(i.guest.Memory().Size()), s.image.size()
	if want > have {
		if _, ok := i.guest.Memory().Grow(uint32((want - have) / pageBytes)); !ok {
			text := "no memory is left for another instance of " + i.module.file
			return &guestError{during: "instantiate", text: text, limit: i.memory.exceeded()}
		}
	}
	for _, g := range i.module.globals {
		i.globals = append(i.globals, i.guest.ExportedGlobal(g.Export).(api.MutableGlobal)) //nolint:forcetypeassert // the rewriter's own
	}
	return i.restore()
}

// restore gives the instance the state of the snapshot. Its memory has not grown beyond it.
func (i *instance) restore() error {
	s := i.module.snapshot
	if err := i.memory.space.(restorable).restore(); err != nil { //nolint:forcetypeassert // of a module with a snapshot
		return fmt.Errorf("host: restore the memory of %s: %w", i.module.file, err)
	}
	for n, g := range i.globals {
		g.Set(s.globals[n])
	}
	return nil
}

// renew makes an instance that has ended an invocation ready for the next by the rules of its module's isolation, or says that it
// is used up.
func (i *instance) renew() bool {
	m := i.module
	switch {
	case m.isolation != IsolationFresh:
		return true
	case m.snapshot == nil, int(i.guest.Memory().Size()) != m.snapshot.image.size():
		return false
	}
	if err := i.restore(); err != nil {
		m.host.options.Logger.Error("an instance is thrown away", "plugin", m.name, "error", err)
		return false
	}
	return true
}

// isolationOf returns what holds for a module: what the operator says, else what its author wishes.
func isolationOf(operator Isolation, manifest *abi.Manifest) Isolation {
	switch {
	case operator != "":
		return operator
	case manifest.Isolation != "":
		return Isolation(manifest.Isolation)
	default:
		return IsolationPooled
	}
}

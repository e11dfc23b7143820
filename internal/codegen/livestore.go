package codegen

import (
	"slices"

	"headgate/internal/errs"
)

// LiveStoreVersion is the version that the rendered code was proven with.
const LiveStoreVersion = "0.4.0"

// storageFormat is the 6 in eventlog@6.db; 0 for a version that the rendered code was not proven with.
func storageFormat(liveStore string) int {
	if liveStore == LiveStoreVersion {
		return 6
	}
	return 0
}

// Proof says how far the rendered code is known to work with an adapter.
type Proof string

const (
	// Proven: this repository's tests kill real clients of this adapter.
	Proven Proof = "proven"
	// Read: the adapter's sources were read and nothing speaks against it, but no client was run.
	Read Proof = "read"
)

// An Adapter says what the rendered code does on one LiveStore adapter.
type Adapter struct {
	Name string `json:"name"`
	// Hooks is about the atomic rebuild, Check about the start-up check.
	Hooks Proof `json:"hooks"`
	Check Proof `json:"check"`
	// Note is what a user of this adapter must know, empty when there is nothing.
	Note string `json:"note,omitempty"`
}

// adapters is sorted by name.
func adapters() []Adapter {
	return []Adapter{
		{
			Name: "cloudflare", Hooks: Read, Check: Read,
			Note: "not proven: read in the adapter's sources. Its state goes through SQLite with the journal in memory, so that " +
				"a commit is whole only because a Durable Object's writes without an await between them are; a state that is " +
				"already partial is reported and not rebuilt (storage type 'other')",
		},
		{
			Name: "expo", Hooks: Read, Check: Read,
			Note: "not proven: read in the adapter's sources, not run on a device. The hooks use the calls that LiveStore makes " +
				"itself on the same handle; a state that is already partial is reported and not rebuilt (storage type 'other'): " +
				"bump the epoch",
		},
		{
			Name: "node", Hooks: Proven, Check: Proven,
			Note: "proven for a process that is killed; the adapter never syncs to disk (its xSync does nothing), so that a " +
				"power cut can leave anything",
		},
		{
			Name: "web", Hooks: Proven, Check: Proven,
			Note: "spread headgateWebAdapterOptions into the adapter's options: without it a killed tab can leave a state that the next start can't read",
		},
	}
}

// AdapterNamed returns what is known of an adapter.
func AdapterNamed(name string) (Adapter, error) {
	all := adapters()
	if i := slices.IndexFunc(all, func(a Adapter) bool { return a.Name == name }); i >= 0 {
		return all[i], nil
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.Name
	}
	return Adapter{}, errs.Invalidf("adapter %q is not one that headgate knows", name).
		Hintf("the adapters are %s", join(names))
}

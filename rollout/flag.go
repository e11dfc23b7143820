package rollout

import (
	"slices"
	"strconv"
	"strings"

	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// FileName is where the flags stand, below the directory of headgate.yaml.
const FileName = "headgate/flags.yaml"

// KeyPrefix begins the key of a flag about events; the event family's name follows. Other flags are plain.
const KeyPrefix = "event."

// A File is a whole flags.yaml. It is read only once it is parsed.
type File struct {
	Path  string
	Flags []Flag // in the file's order
}

// Flag returns the flag with this key.
func (f *File) Flag(key string) (*Flag, bool) {
	i := slices.IndexFunc(f.Flags, func(fl Flag) bool { return fl.Key == key })
	if i < 0 {
		return nil, false
	}
	return &f.Flags[i], true
}

// Keys returns the flags' keys, in the file's order.
func (f *File) Keys() []string {
	var keys []string
	for _, fl := range f.Flags {
		keys = append(keys, fl.Key)
	}
	return keys
}

// A Flag decides which version of one event family is emitted; a plain one has values of the app's own.
type Flag struct {
	Key      string // "event.TodoCreated"
	Schema   string // the store kind in headgate.yaml; empty for the only one
	Rollout  string // a name for telemetry, may be empty
	Revision int    // of the flag's definition, for telemetry: which one a client has; 0 when the file does not say
	Disabled bool   // callers get the default in their own code

	Variants []Variant // oldest first, at least one
	Default  int       // index in Variants: of stores outside of every percentage, and of callers that can't be placed
	Line     int
}

// Plain reports whether the flag is about something else than events.
func (f *Flag) Plain() bool { return !strings.HasPrefix(f.Key, KeyPrefix) }

// A Variant is one version of the event, or one value of a plain flag.
type Variant struct {
	Name  string // "v2"
	Event string // "v2.TodoCreated"; "" in a plain flag

	// Value is a plain flag's: a bool, a whole number or a text, of the same type in all variants. Nil for an event.
	Value any `json:",omitempty"`

	// Floor is the first release of the app that may emit the event, empty for any. A prerelease of Floor counts as
	// the release: 1.5.0-beta.1 is at or above the floor 1.5.0.
	Floor string

	// Percent is the share of the stores that get the variant. The default variant's is what the others leave.
	Percent Percent

	// Stores get the variant whatever their bucket. Floor holds for them too.
	Stores []livestore.StoreID

	Line int
}

// Answer is what a store with the variant is told: the event's name, or the plain value as a bool, an int64 or a string.
func (v Variant) Answer() any {
	switch value := v.Value.(type) {
	case nil:
		return v.Event
	case float64: // JSON has no whole numbers
		return int64(value)
	}
	return v.Value
}

// Open reports whether any store can get the variant.
func (v Variant) Open() bool { return v.Percent > 0 || len(v.Stores) > 0 }

// gate is the lowest version that Floor lets through, or "".
func (v Variant) gate() string {
	if v.Floor == "" || strings.Contains(v.Floor, "-") {
		return v.Floor
	}
	return v.Floor + "-0" // the lowest prerelease there is
}

// Admits reports whether a build of this version may emit the variant. A version that can't be read may not.
func (v Variant) Admits(version string) bool {
	if v.Floor == "" {
		return true
	}
	build, ok := parseAppVersion(version)
	if !ok {
		return false
	}
	floor, err := schema.ParseVersion(v.gate())
	return err == nil && build.Compare(floor) >= 0
}

// parseAppVersion reads what flagd's sem_ver reads: a semantic version, with a v before it or without, with one number,
// two or three.
func parseAppVersion(s string) (schema.Version, bool) {
	if strings.HasPrefix(s, "v") || strings.HasPrefix(s, "V") {
		s = s[1:]
	}
	if !strings.ContainsAny(s, "-+") {
		for strings.Count(s, ".") < 2 {
			s += ".0"
		}
	}
	v, err := schema.ParseVersion(s)
	return v, err == nil
}

// Percent is a share in thousandths of a percent: 25 % is 25,000.
type Percent int

// The smallest step of a Percent that a file can write is 0.001.
const (
	onePercent Percent = 1000
	hundred    Percent = 100 * onePercent
)

// ParsePercent reads 25, 0.5 or 25%, from 0 to 100 with at most three decimals.
func ParsePercent(s string) (Percent, bool) {
	whole, decimals, dotted := strings.Cut(strings.TrimSpace(strings.TrimSuffix(s, "%")), ".")
	if dotted && (decimals == "" || len(decimals) > 3) || len(whole) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+(decimals + "000")[:3], 10, 32)
	if err != nil || whole == "" || Percent(n) > hundred {
		return 0, false
	}
	return Percent(n), true
}

// String returns "25 %" or "0.5 %".
func (p Percent) String() string {
	return strconv.FormatFloat(float64(p)/float64(onePercent), 'f', -1, 64) + " %"
}

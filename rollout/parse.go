package rollout

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// flagsHelp is the command that explains a flags.yaml.
const flagsHelp = "headgate flags --help"

// MaxSize is the size in bytes from which a file is refused: nobody wrote that by hand.
const MaxSize = 1 << 20

// Read parses the file at path.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.NotFoundf("there are no flags yet").At("%s", path).
			Hintf("`headgate flags init` drafts them from the recorded releases").Then("headgate flags init")
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the flags").At("%s", path).Because(err).Hintf("make the file readable")
	}
	return Parse(data, path)
}

// Parse reads a flags.yaml that stands at path, and checks everything that the file alone can tell.
func Parse(data []byte, path string) (*File, error) {
	if len(data) > MaxSize {
		return nil, errs.Invalidf("the file is larger than 1 MB").At("%s", path).Hintf("is this a flags.yaml?").Then(flagsHelp)
	}
	d := decoder{file: path, help: flagsHelp, begin: "write `flags:` and a flag below it"}
	root, err := d.root(data)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path}
	err = d.mapping(root, "", map[string]field{
		"flags": {required: true, read: func(n *yaml.Node, path string) error {
			return d.named(n, path, func(key, value *yaml.Node, path string) error {
				flag, err := d.flag(key, value, path)
				f.Flags = append(f.Flags, flag)
				return err
			})
		}},
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d decoder) flag(key, value *yaml.Node, path string) (Flag, error) {
	f := Flag{Key: key.Value, Line: key.Line}
	family := strings.TrimPrefix(f.Key, KeyPrefix)
	switch {
	case f.Key == ResetKey:
		return f, d.errorf(key, "flags: %s is not set in the file", f.Key).
			Hintf("a reset is armed first, then fired: headgate reset --help").Then("headgate reset --help")
	case !f.Plain() && !keyPattern.MatchString(family), f.Plain() && !plainKeyPattern.MatchString(f.Key):
		return f, d.errorf(key, "flags: %q is not a flag's key", f.Key).
			Hintf("it is %s and the event family, as in %sTodoCreated; or of a plain flag letters, digits, dots, - and _", KeyPrefix, KeyPrefix)
	}
	var defaultName string
	var defaultNode *yaml.Node
	err := d.mapping(value, path, map[string]field{
		"schema":  d.value(func(s string) error { f.Schema = s; return nil }, ""),
		"rollout": d.value(func(s string) error { f.Rollout = s; return nil }, ""),
		"revision": d.value(func(s string) (err error) {
			if f.Revision, err = strconv.Atoi(s); err != nil || f.Revision < 1 {
				return fmt.Errorf("%q is not a revision", s)
			}
			return nil
		}, "write a whole number from 1, and raise it with each change"),
		"state": d.value(func(s string) error {
			f.Disabled = s == "disabled"
			if s != "enabled" && s != "disabled" {
				return fmt.Errorf("unknown state %q", s)
			}
			return nil
		}, "write enabled or disabled"),
		"default": {read: func(n *yaml.Node, path string) (err error) {
			defaultName, err = d.text(n, path)
			defaultNode = resolve(n)
			return err
		}},
		"variants": {required: true, read: func(n *yaml.Node, path string) error { return d.variants(n, path, family, &f) }},
	})
	if err != nil {
		return f, err
	}
	if defaultName != "" {
		if f.Default = f.index(defaultName); f.Default < 0 {
			return f, d.errorf(defaultNode, "%s.default: there is no variant %q", path, defaultName).Hintf("%s", didYouMean(defaultName, f.names()))
		}
	}
	return f, d.checkFlag(&f, path)
}

func (d decoder) variants(n *yaml.Node, path, family string, f *Flag) error {
	listed := map[livestore.StoreID]string{} // the variant that has the store
	err := d.named(n, path, func(key, value *yaml.Node, path string) error {
		v := Variant{Name: key.Value, Percent: unset, Line: key.Line}
		if !keyPattern.MatchString(v.Name) {
			return d.errorf(key, "%s: a variant's name has letters, digits, - and _", path).Hintf("name it after the event's version, v2, or after what it means: off")
		}
		answer := map[string]field{"event": {required: true, read: func(n *yaml.Node, path string) (err error) { v.Event, err = d.text(n, path); return err }}}
		name := "event"
		if f.Plain() {
			name, answer = "value", d.plainValue(f, &v)
		}
		var err error
		if n := resolve(value); n.Kind == yaml.ScalarNode {
			err = answer[name].read(n, path)
		} else {
			fields := map[string]field{
				"floor":   d.value(func(s string) error { v.Floor = s; return checkFloor(s) }, "write the first release that may emit the event: 1.5.0"),
				"percent": d.value(func(s string) error { return v.setPercent(s) }, "write a percentage of the stores from 0 to 100, with three decimals at most: 25 or 0.5"),
				"stores":  {read: func(n *yaml.Node, path string) error { return d.stores(n, path, listed, &v) }},
			}
			maps.Copy(fields, answer)
			err = d.mapping(n, path, fields)
		}
		if err != nil {
			return err
		}
		if f.Plain() {
			f.Variants = append(f.Variants, v)
			return nil
		}
		if err := checkEvent(v, family); err != nil {
			return d.errorf(key, "%s: %s", path, err).Hintf("the flag %s is for the versions of %s only", f.Key, family)
		}
		for _, other := range f.Variants {
			if other.Event == v.Event {
				return d.errorf(key, "%s: %s is the event of %s too", path, v.Event, other.Name)
			}
		}
		f.Variants = append(f.Variants, v)
		return nil
	})
	switch {
	case err != nil || len(f.Variants) > 0:
		return err
	case f.Plain():
		return d.errorf(n, "%s is empty", path).Hintf("write what every store gets first: `off: false`")
	}
	return d.errorf(n, "%s is empty", path).Hintf("write the oldest version first: `v1: v1.%s`", family)
}

// unset is the Percent of a variant whose line has none.
const unset Percent = -1

func (v *Variant) setPercent(s string) error {
	p, ok := ParsePercent(s)
	if !ok {
		return fmt.Errorf("%q is not a percentage", s)
	}
	v.Percent = p
	return nil
}

func checkFloor(s string) error {
	if _, err := schema.ParseVersion(s); err != nil || strings.Contains(s, "+") {
		return fmt.Errorf("%q is not a release", s)
	}
	return nil
}

// checkEvent holds an event whose name has a version, v2.TodoCreated, against its variant and the flag's family.
func checkEvent(v Variant, family string) error {
	version, name, ok := strings.Cut(v.Event, ".")
	switch {
	case !ok || !versionPattern.MatchString(version):
		return nil // the app names its events in another way
	case name != family:
		return fmt.Errorf("%s is no version of %s", v.Event, family)
	case versionPattern.MatchString(v.Name) && v.Name != version:
		return fmt.Errorf("the variant %s has the event %s", v.Name, v.Event)
	}
	return nil
}

func (d decoder) stores(n *yaml.Node, path string, listed map[livestore.StoreID]string, v *Variant) error {
	return d.list(n, path, func(n *yaml.Node, path string) error {
		s, err := d.text(n, path)
		if err != nil {
			return err
		}
		n = resolve(n)
		if !keyPattern.MatchString(s) {
			return d.errorf(n, "%s: %q has other characters than letters, digits, - and _", path, s).Hintf("LiveStore does not accept such a storeId either")
		}
		id := livestore.StoreID(s)
		if other, there := listed[id]; there {
			return d.errorf(n, "%s: the store %s is listed twice, the other time for %s", path, s, other).Hintf("keep one of them")
		}
		listed[id] = v.Name
		v.Stores = append(v.Stores, id)
		return nil
	})
}

// checkFlag checks what the variants say about each other, and gives the default what the others leave.
func (d decoder) checkFlag(f *Flag, path string) error {
	at := func(v Variant) *yaml.Node { return &yaml.Node{Line: v.Line} }
	name := func(v Variant) string { return path + ".variants." + v.Name }
	rest := hundred
	var before Variant
	for i := range f.Variants {
		v := &f.Variants[i]
		switch {
		case versionNumber(before.Name) > versionNumber(v.Name) && versionNumber(v.Name) >= 0:
			return d.errorf(at(*v), "%s comes after %s", name(*v), before.Name).Hintf("write the oldest version first")
		case i == f.Default && v.Floor != "":
			return d.errorf(at(*v), "%s is the default and has a floor", name(*v)).
				Hintf("builds below %s would get it too: remove the floor, or make an older version the default", v.Floor)
		case i > f.Default && v.Floor == "" && !f.Plain():
			return d.errorf(at(*v), "%s.floor is missing", name(*v)).
				Hintf("add the first release that defines and materializes %s, as in `floor: 1.5.0`", v.Event)
		case i > 0 && before.Floor != "" && schema.CompareVersions(v.gate(), before.gate()) < 0:
			return d.errorf(at(*v), "%s.floor %q is below that of %s, %s", name(*v), v.Floor, before.Name, before.Floor).
				Hintf("a build that may emit a version may emit the ones before it")
		case i == f.Default && v.Percent != unset:
			return d.errorf(at(*v), "%s is the default and has a percentage", name(*v)).Hintf("remove it: the default gets the stores that the others leave")
		}
		v.Percent = max(v.Percent, 0)
		rest -= v.Percent
		before = *v
	}
	if rest < 0 {
		return d.errorf(&yaml.Node{Line: f.Line}, "%s: the percentages add up to %s", path, hundred-rest).Hintf("together they may have 100")
	}
	f.Variants[f.Default].Percent = rest
	return nil
}

// versionNumber returns 2 for v2, and -1 for another name.
func versionNumber(name string) int {
	if !versionPattern.MatchString(name) {
		return -1
	}
	n, _ := strconv.Atoi(name[1:]) // digits; too large a number is the largest one
	return n
}

func (f *Flag) names() []string {
	var out []string
	for _, v := range f.Variants {
		out = append(out, v.Name)
	}
	return out
}

func (f *Flag) index(name string) int {
	for i, v := range f.Variants {
		if v.Name == name {
			return i
		}
	}
	return -1
}

var (
	keyPattern     = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	versionPattern = regexp.MustCompile(`^v[0-9]+$`)
)

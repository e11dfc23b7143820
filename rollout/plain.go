package rollout

import (
	"fmt"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// largest is the largest whole number that JavaScript can tell from its neighbours.
const largest = 1<<53 - 1

// plainValue returns the fields that say what a variant of a plain flag is.
func (d decoder) plainValue(f *Flag, v *Variant) map[string]field {
	return map[string]field{
		"value": {required: true, read: func(n *yaml.Node, path string) error { return d.readValue(n, path, f, v) }},
		"event": {read: func(n *yaml.Node, path string) error {
			return d.errorf(n, "%s: %s is a plain flag", path, f.Key).
				Hintf("one that chooses an event's version is named %s and the event family, as in %sTodoCreated", KeyPrefix, KeyPrefix)
		}},
	}
}

// readValue reads a value of a plain flag. All of a flag's values have the type of its first.
func (d decoder) readValue(n *yaml.Node, path string, f *Flag, v *Variant) error {
	text, err := d.text(n, path)
	if err != nil {
		return err
	}
	n = resolve(n)
	switch n.ShortTag() {
	case "!!bool":
		v.Value = text == "true" || text == "True" || text == "TRUE"
	case "!!int":
		number, err := strconv.ParseInt(text, 0, 64)
		if err != nil || number > largest || number < -largest {
			return d.errorf(n, "%s: %s is beyond what JavaScript can hold", path, text)
		}
		v.Value = number
	case "!!str":
		v.Value = text
	default:
		return d.errorf(n, "%s: %q is not a value", path, text).Hintf("write true, false, a whole number or a text")
	}
	if len(f.Variants) == 0 {
		return nil
	}
	if is, first := kindOf(v.Value), kindOf(f.Variants[0].Value); is != first {
		return d.errorf(n, "%s is %s, and %s is %s", path, is, f.Variants[0].Name, first).Hintf("the values of a flag have one type")
	}
	return nil
}

// kindOf names the type of an answer.
func kindOf(answer any) string {
	switch answer.(type) {
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	}
	return fmt.Sprintf("a %T", answer)
}

var plainKeyPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$`)

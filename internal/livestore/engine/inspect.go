package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Split returns the statements of a text, each as SQLite delimits it.
func (d *DB) Split(text string) ([]string, error) {
	p, err := d.prepare(text)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(p.stmts))
	for i, s := range p.stmts {
		out[i] = strings.TrimSpace(libc.GoString(sqlite3.Xsqlite3_sql(d.tls, s)))
	}
	return out, nil
}

// Writes returns the tables that the statements of a text write to, sorted: what SQLite's own plan opens for writing,
// triggers and the tables of indexes included. It is an error when SQLite can't prepare them.
func (d *DB) Writes(text string) ([]string, error) {
	statements, err := d.Split(text)
	if err != nil {
		return nil, err
	}
	roots := map[int64]string{1: "sqlite_schema"}
	err = d.Query("SELECT rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0", Binds{}, func(_ []string, v []any) error {
		root, _ := v[0].(int64)
		roots[root], _ = v[1].(string)
		return nil
	})
	if err != nil {
		return nil, err
	}
	tables := map[string]bool{}
	for _, s := range statements {
		err := d.Query("EXPLAIN "+s, Binds{}, func(_ []string, v []any) error {
			op, _ := v[1].(string)
			p1, _ := v[2].(int64)
			p2, _ := v[3].(int64)
			switch op {
			case "OpenWrite":
				tables[roots[p2]] = true
			case "Clear", "Destroy":
				tables[roots[p1]] = true
			case "VUpdate", "VCreate", "VDestroy":
				tables["a virtual table"] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	delete(tables, "")
	return slices.Sorted(maps.Keys(tables)), nil
}

// Functions returns the SQL functions that a statement calls, operators that are some (LIKE, ->>) included, sorted. Those that
// SQLite computes without a call (coalesce, iif) are not among them.
func (d *DB) Functions(text string, binds Binds) ([]string, error) {
	names := map[string]bool{}
	err := d.Query("EXPLAIN "+text, binds, func(_ []string, v []any) error {
		switch v[1] {
		case "Function", "PureFunc", "AggStep", "AggStep1", "AggInverse":
			called, _ := v[5].(string) // name(number of arguments)
			name, _, _ := strings.Cut(called, "(")
			names[name] = true
		}
		return nil
	})
	return slices.Sorted(maps.Keys(names)), err
}

// Volatile lists the words of a text (random, 'now', changes…) that make its outcome depend on more than the tables and
// its parameters. It may find too much, inside a literal, never too little.
func Volatile(text string) []string {
	words := map[string]bool{}
	for _, w := range volatileRE.FindAllString(text, -1) {
		words[strings.ToLower(strings.TrimRight(w, "( \t\r\n"))] = true
	}
	return slices.Sorted(maps.Keys(words))
}

// MarshalJSON encodes b in the driver's form, which UnmarshalJSON reads.
func (b Binds) MarshalJSON() ([]byte, error) {
	if b.named != nil {
		out := []byte{'{'}
		for i, k := range slices.Sorted(maps.Keys(b.named)) {
			if i > 0 {
				out = append(out, ',')
			}
			key, err := json.Marshal(k)
			if err != nil {
				return nil, err
			}
			out = append(append(out, key...), ':')
			out = appendValue(out, b.named[k])
		}
		return append(out, '}'), nil
	}
	out := []byte{'['}
	for i, v := range b.list {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendValue(out, v)
	}
	return append(out, ']'), nil
}

// Diff says where b and c bind other values, by position or name and by type, without the values; empty when they
// are equal.
func (b Binds) Diff(c Binds) string {
	if b.Equal(c) {
		return ""
	}
	var out []string
	differ := func(at string, v, w any) {
		if equalValue(v, w) {
			return
		}
		from, to := TypeOf(v), TypeOf(w)
		if from == to {
			out = append(out, fmt.Sprintf("%s: another %s", at, from))
		} else {
			out = append(out, fmt.Sprintf("%s: %s -> %s", at, from, to))
		}
	}
	for i := range max(len(b.list), len(c.list)) {
		v, _ := b.lookup(i, "")
		w, _ := c.lookup(i, "")
		differ(fmt.Sprintf("parameter %d", i+1), v, w)
	}
	keys := maps.Clone(b.named)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, c.named)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		differ("parameter "+k, b.named[k], c.named[k])
	}
	if len(out) == 0 {
		return "the number of parameters"
	}
	return strings.Join(out, ", ")
}

// TypeOf names the SQLite type of a value, with a text's or blob's length.
func TypeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case int64:
		return "integer"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "real"
	case string:
		return fmt.Sprintf("text(%d)", len([]rune(v)))
	case []byte:
		return fmt.Sprintf("blob(%d)", len(v))
	}
	return fmt.Sprintf("%T", v)
}

// AppendPayload appends an event's name and encoded arguments in the form that [Engine.DecodeText] takes an array of.
func AppendPayload(b []byte, name string, args json.RawMessage) []byte {
	b = appendString(append(b, '['), name)
	b = append(b, ',')
	if len(args) == 0 {
		b = append(b, "null"...)
	}
	return append(append(b, args...), ']')
}

// DecodeText is [Engine.Decode] for a JSON array of what [AppendPayload] wrote.
func (e *Engine) DecodeText(payloads string) ([]*DecodeIssue, error) {
	text, err := e.vm.Call("__headgate_decode", payloads)
	if err != nil {
		return nil, err
	}
	var out []*DecodeIssue
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("decode what decode returned: %w", err)
	}
	return out, nil
}

package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Encode returns r in its canonical form: two-space indent, keys in the model's order, free JSON with sorted keys,
// a final newline. Equal releases have equal bytes.
func (r *Release) Encode() ([]byte, error) {
	c := *r
	c.Events = append([]Event(nil), r.Events...)
	for i := range c.Events {
		s, err := sortKeys(c.Events[i].JSONSchema)
		if err != nil {
			return nil, fmt.Errorf("event %s: JSON schema: %w", c.Events[i].Name, err)
		}
		c.Events[i].JSONSchema = s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(&c); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Digest is "sha256-<hex>" of the canonical form.
func (r *Release) Digest() (string, error) {
	b, err := r.Encode()
	if err != nil {
		return "", err
	}
	return DigestOf(b), nil
}

// DigestOf is "sha256-<hex>" of b.
func DigestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256-" + hex.EncodeToString(sum[:])
}

func sortKeys(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return raw, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // maps are encoded with sorted keys
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// Event returns the definition with this name.
func (r *Release) Event(name string) (*Event, bool) {
	for i := range r.Events {
		if r.Events[i].Name == name {
			return &r.Events[i], true
		}
	}
	return nil, false
}

// Materializer returns the materializer of this event.
func (r *Release) Materializer(event string) (*Materializer, bool) {
	for i := range r.Materializers {
		if r.Materializers[i].Event == event {
			return &r.Materializers[i], true
		}
	}
	return nil, false
}

// Table returns the table with this name.
func (r *Release) Table(name string) (*Table, bool) {
	for i := range r.Tables {
		if r.Tables[i].Name == name {
			return &r.Tables[i], true
		}
	}
	return nil, false
}

// Decode reads a release from its canonical form. An unknown key is an error: releases are written by headgate only.
// Free JSON inside is compacted, so that a release that was read equals one that was just described.
func Decode(data []byte) (*Release, error) {
	r := &Release{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	compact := func(t *Type) {
		t.Value = compactJSON(t.Value)
		for i := range t.Values {
			t.Values[i] = compactJSON(t.Values[i])
		}
		for i := range t.Keys {
			t.Keys[i].Default = compactJSON(t.Keys[i].Default)
		}
		if t.Filter != nil {
			t.Filter.Params = compactJSON(t.Filter.Params)
		}
	}
	for i := range r.Events {
		r.Events[i].JSONSchema = compactJSON(r.Events[i].JSONSchema)
		r.Events[i].Args.walk(compact)
	}
	for i := range r.Tables {
		for j := range r.Tables[i].Columns {
			r.Tables[i].Columns[j].Schema.walk(compact)
		}
	}
	return r, nil
}

func compactJSON(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	if b.Len() == 0 {
		return nil
	}
	return b.Bytes()
}

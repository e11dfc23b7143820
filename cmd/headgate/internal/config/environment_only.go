package config

import (
	"bytes"
	"errors"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// WithOneEnvironment is a headgate.yaml with nothing but one environment in it, which has the stores with other logs. What
// else the file says stays.
func WithOneEnvironment(data []byte, name string, stores []Store, log func(Store) string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil || len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errs.Invalidf("%s can't be read", FileName).Because(err).Then("headgate help config")
	}
	type entry struct {
		ID     string `yaml:"id"`
		Schema string `yaml:"schema"`
		Log    string `yaml:"log"`
	}
	list := []entry{}
	for _, s := range stores {
		list = append(list, entry{string(s.ID), s.Schema, log(s)})
	}
	var only yaml.Node
	if err := only.Encode(map[string]any{name: map[string]any{"stores": list}}); err != nil {
		return nil, err
	}
	top := root.Content[0]
	found := false
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "environments" {
			top.Content[i+1], found = &only, true
		}
	}
	if !found {
		top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "environments"}, &only)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := errors.Join(enc.Encode(&root), enc.Close())
	return b.Bytes(), err
}

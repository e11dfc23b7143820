package config

import (
	"regexp"

	"go.yaml.in/yaml/v3"
)

// DefaultAdminVariable is the environment variable that holds the secret of a sync backend's admin route, where an
// environment names no other.
const DefaultAdminVariable = "HEADGATE_ADMIN_TOKEN"

// variable reads the name of the variable that holds a secret: ${NAME} and nothing else. The variable is looked at
// only by who needs the secret, which is hardly anyone; and no secret is ever in the file.
func (d decoder) variable(n *yaml.Node, path, usual string, into *string) error {
	n = resolve(n)
	m := regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`).FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || m == nil {
		return d.errorf(n, "%s is not the name of a variable", path). // it may be the secret itself
										Hintf(`the secret stays out of the file: write %s: "${%s}" and set that variable where it is needed`, path, usual)
	}
	*into = m[1]
	return nil
}

// Command clienttest asks a server for a flag with the stock Go provider for OFREP: a test's client, and a module of its own
// because headgate itself does not need that provider. Its arguments are the address, a token, the flag, a store and a
// version of the app; it prints {"value", "variant", "reason", "error"}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clienttest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: clienttest URL TOKEN FLAG STORE VERSION")
	}
	api := isolated.NewAPI()
	defer api.Shutdown(ctx) //nolint:errcheck // the process ends
	if err := api.SetProviderAndWait(ctx, ofrep.NewProvider(args[0], ofrep.WithBearerToken(args[1]))); err != nil {
		return err
	}
	about := openfeature.NewEvaluationContext("u1", map[string]any{"storeId": args[3], "appVersion": args[4]})
	d, _ := api.NewClient().StringValueDetails(ctx, args[2], "own default", about) // the error is in the details, too
	return json.NewEncoder(os.Stdout).Encode(map[string]string{
		"value": d.Value, "variant": d.Variant, "reason": string(d.Reason), "error": string(d.ErrorCode),
	})
}

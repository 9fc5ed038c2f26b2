// A Vault server for the tests: HashiCorp's core with its HTTP interface, its transit engine and AppRole, kept in memory.
// Nothing of it is part of publish; Vault is under the Business Source License and is only built and run here.
//
//	vault ADDRESS [CERTIFICATE KEY]     serves http, or https with these files
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		DisableMlock:       true,
		BuiltinRegistry:    builtins{},
		Logger:             logger,
		LogicalBackends:    factories[consts.PluginTypeSecrets],
		CredentialBackends: factories[consts.PluginTypeCredential],
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}})
	if len(args) == 3 {
		return http.ServeTLS(listener, handler, args[1], args[2])
	}
	return http.Serve(listener, handler)
}

// builtins are the plugins that this server has.
type builtins struct{}

var factories = map[consts.PluginType]map[string]logical.Factory{
	consts.PluginTypeSecrets:    {"transit": transit.Factory},
	consts.PluginTypeCredential: {"approle": approle.Factory},
}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	return factories[kind][name] != nil
}

func (builtins) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, ok := factories[kind][name]
	return func() (interface{}, error) { return factory, nil }, ok
}

func (builtins) Keys(kind consts.PluginType) []string {
	names := []string{}
	for name := range factories[kind] {
		names = append(names, name)
	}
	return names
}

func (builtins) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool {
	return false
}

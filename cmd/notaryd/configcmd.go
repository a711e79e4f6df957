package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	parent := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	var origin, asJSON bool
	var settings []string
	show := &cobra.Command{
		Use:   "show [DIR|FILE]",
		Short: "Every setting as a node would use it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = configPath(args[0])
			}
			config, origins, err := loadConfig(path, settings)
			if err != nil {
				return err
			}
			table, err := config.table()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(table)
			}
			keys := make([]string, 0, len(table))
			for key := range table {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			for _, key := range keys {
				line := fmt.Sprintf("%-26s = %v", key, table[key])
				if origin {
					line = fmt.Sprintf("%-60s # %s", line, origins[key])
				}
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
	show.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	show.Flags().StringArrayVar(&settings, "set", nil, "override a setting: key=value")
	parent.AddCommand(show)
	return parent
}

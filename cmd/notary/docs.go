package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// docsCommand writes man pages, for packagers.
func (a *app) docsCommand() *cobra.Command {
	c := &cobra.Command{Use: "docs", Hidden: true, Short: "Write documentation", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(&cobra.Command{
		Use: "man DIRECTORY", Short: "Write man pages of all commands", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("man pages: %w", err)
			}
			root := c.Root()
			root.DisableAutoGenTag = true // pages are the same whenever they are made
			// The date is $SOURCE_DATE_EPOCH where that is set.
			header := &doc.GenManHeader{Title: "NOTARY", Section: "1", Source: "notary " + version, Manual: "Notary network"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("man pages: %w", err)
			}
			return nil
		},
	})
	return c
}

// Package history reads and writes the files of histio: sealed streams, documents and receipts of format 1.0.
// It was written from docs/reference/format.md alone, and needs nothing but the standard library.
package history

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// The types below are the tables of docs/reference/format.md: `json` names a member and `is` the rule of its value. With a
// question mark, a reader accepts its absence.
var (
	// Kinds are those of the catalog, then those of run, in the order in which a writer writes them.
	Kinds        = append(catalogKinds[:5:5], runKinds...)
	catalogKinds = []string{"ingredient", "recipe", "finished_unit", "finished_good", "product"}
	runKinds     = []string{"production_run", "assembly_run"}
	types        = map[string]reflect.Type{
		"ingredient":     reflect.TypeOf(Ingredient{}),
		"recipe":         reflect.TypeOf(Recipe{}),
		"finished_unit":  reflect.TypeOf(FinishedUnit{}),
		"finished_good":  reflect.TypeOf(FinishedGood{}),
		"product":        reflect.TypeOf(Product{}),
		"production_run": reflect.TypeOf(ProductionRun{}),
		"assembly_run":   reflect.TypeOf(AssemblyRun{}),
	}
)

// Stamps are the times when a row was recorded and last changed; "" is unknown.
type Stamps struct {
	CreatedAt string `json:"created_at,omitempty" is:"time?"`
	UpdatedAt string `json:"updated_at,omitempty" is:"time?"`
}

type ProductionRun struct {
	UUID                string  `json:"uuid" is:"uuid"`
	RecipeSlug          string  `json:"recipe_slug" is:"slug"`
	FinishedUnitSlug    string  `json:"finished_unit_slug" is:"slug"`
	NumBatches          int64   `json:"num_batches" is:"positive"`
	ExpectedYield       int64   `json:"expected_yield" is:"number"`
	ActualYield         int64   `json:"actual_yield" is:"number"`
	ProducedAt          string  `json:"produced_at" is:"time"`
	Notes               *string `json:"notes" is:"text or null?"`
	TotalIngredientCost string  `json:"total_ingredient_cost" is:"cost"`
	PerUnitCost         string  `json:"per_unit_cost" is:"cost"`
	Stamps
	Consumptions []Consumption `json:"consumptions" is:"array?"`
}

// At is when the run was made.
func (run ProductionRun) At() time.Time { return at(run.ProducedAt) }

type Consumption struct {
	UUID             string `json:"uuid" is:"uuid"`
	IngredientSlug   string `json:"ingredient_slug" is:"slug"`
	QuantityConsumed string `json:"quantity_consumed" is:"quantity"`
	Unit             string `json:"unit" is:"unit"`
	TotalCost        string `json:"total_cost" is:"cost"`
	Stamps
}

type AssemblyRun struct {
	UUID               string  `json:"uuid" is:"uuid"`
	FinishedGoodSlug   string  `json:"finished_good_slug" is:"slug"`
	QuantityAssembled  int64   `json:"quantity_assembled" is:"positive"`
	AssembledAt        string  `json:"assembled_at" is:"time"`
	Notes              *string `json:"notes" is:"text or null?"`
	TotalComponentCost string  `json:"total_component_cost" is:"cost"`
	PerUnitCost        string  `json:"per_unit_cost" is:"cost"`
	Stamps
	FinishedUnitConsumptions []UnitConsumption      `json:"finished_unit_consumptions" is:"array?"`
	PackagingConsumptions    []PackagingConsumption `json:"packaging_consumptions" is:"array?"`
}

// At is when the run was made.
func (run AssemblyRun) At() time.Time { return at(run.AssembledAt) }

type UnitConsumption struct {
	UUID                  string `json:"uuid" is:"uuid"`
	FinishedUnitSlug      string `json:"finished_unit_slug" is:"slug"`
	QuantityConsumed      int64  `json:"quantity_consumed" is:"positive"`
	UnitCostAtConsumption string `json:"unit_cost_at_consumption" is:"cost"`
	TotalCost             string `json:"total_cost" is:"cost"`
	Stamps
}

type PackagingConsumption struct {
	UUID             string `json:"uuid" is:"uuid"`
	ProductSlug      string `json:"product_slug,omitempty" is:"slug?"`
	IngredientSlug   string `json:"ingredient_slug,omitempty" is:"slug?"`
	QuantityConsumed string `json:"quantity_consumed" is:"quantity"`
	Unit             string `json:"unit" is:"unit"`
	TotalCost        string `json:"total_cost" is:"cost"`
	Stamps
}

func (PackagingConsumption) oneOf() (string, []string) {
	return "/product_slug", []string{"product_slug", "ingredient_slug"}
}

// Row ends each row of the catalog.
type Row struct {
	UUID string `json:"uuid,omitempty" is:"uuid?"`
	Stamps
}

type Ingredient struct {
	Slug        string `json:"slug" is:"slug"`
	DisplayName string `json:"display_name" is:"name"`
	Row
}

type Recipe struct {
	Slug string `json:"slug" is:"slug"`
	Name string `json:"name" is:"name"`
	Row
}

type FinishedUnit struct {
	Slug        string `json:"slug" is:"slug"`
	DisplayName string `json:"display_name" is:"name"`
	RecipeSlug  string `json:"recipe_slug" is:"slug"`
	Row
}

type FinishedGood struct {
	Slug        string `json:"slug" is:"slug"`
	DisplayName string `json:"display_name" is:"name"`
	Row
}

type Product struct {
	Slug           string `json:"slug" is:"slug"`
	ProductName    string `json:"product_name" is:"name"`
	IngredientSlug string `json:"ingredient_slug" is:"slug"`
	Row
}

// Document is a history that fits into memory. An array that is nil was not there.
type Document struct {
	Schema         string          `json:"$schema,omitempty" is:"any?"`
	Version        string          `json:"version" is:"version"`
	ExportedAt     string          `json:"exported_at,omitempty" is:"time?"`
	Ingredients    []Ingredient    `json:"ingredients,omitempty" is:"array?"`
	Recipes        []Recipe        `json:"recipes,omitempty" is:"array?"`
	FinishedUnits  []FinishedUnit  `json:"finished_units,omitempty" is:"array?"`
	FinishedGoods  []FinishedGood  `json:"finished_goods,omitempty" is:"array?"`
	Products       []Product       `json:"products,omitempty" is:"array?"`
	ProductionRuns []ProductionRun `json:"production_runs,omitempty" is:"array?"`
	AssemblyRuns   []AssemblyRun   `json:"assembly_runs,omitempty" is:"array?"`
}

func (Document) oneOf() (string, []string) {
	return "", []string{"ingredients", "recipes", "finished_units", "finished_goods", "products",
		"production_runs", "assembly_runs"}
}

// Header is the first line of a stream.
type Header struct {
	Version       string   `json:"version" is:"version"`
	ExportedAt    string   `json:"exported_at,omitempty" is:"time?"`
	Kinds         []string `json:"kinds" is:"run kind?"`
	Sealed        *bool    `json:"sealed,omitempty" is:"bool?"`
	Follows       string   `json:"follows,omitempty" is:"digest?"`
	FollowsHeader string   `json:"follows_header,omitempty" is:"digest?"`
	Catalog       []string `json:"catalog,omitempty" is:"catalog kind?"`
}

// Trailer is the last line of a sealed stream.
type Trailer struct {
	Counts        Counts `json:"counts" is:"count"`
	SHA256        string `json:"sha256" is:"digest"`
	HeaderSHA256  string `json:"header_sha256" is:"digest"`
	CatalogSHA256 string `json:"catalog_sha256,omitempty" is:"digest?"`
}

// Counts are the numbers of rows and runs by kind, written in the order of the kinds.
type Counts map[string]int64

func (counts Counts) MarshalJSON() ([]byte, error) {
	var members []string
	for _, kind := range Kinds {
		if count, found := counts[kind]; found {
			members = append(members, fmt.Sprintf("%q:%d", kind, count))
		}
	}
	return []byte("{" + strings.Join(members, ",") + "}"), nil
}

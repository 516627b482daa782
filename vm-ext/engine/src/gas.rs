//! What work costs. 10^6 gas is one microsecond of the reference machine's AVX2 path.
//!
//! `benches/gas` measures that no operation, at any shape, takes longer than it pays for. Changing a number is a
//! consensus-breaking release.

/// Every node: dispatch, allocation, set-up.
pub const NODE: u64 = 150_000;
/// Every byte of the memory that a run takes, once: it is fetched and zeroed.
pub const ARENA_BYTE: u64 = 350;
/// Every byte of a result: it is written where others were before.
pub const RESULT_BYTE: u64 = 100;
/// A product of the tiled kernels, 8-bit weights.
pub const MAC_I8: u64 = 20;
/// A product of the tiled kernels, 16-bit weights.
pub const MAC_I16: u64 = 20;
/// A byte of weights, once per run.
pub const WEIGHT_BYTE: u64 = 60;
/// The same of weights that are more than [`FAR_BYTES`] together.
pub const WEIGHT_BYTE_FAR: u64 = 130;
/// Weights up to this size stay in a near cache while they are used.
pub const NEAR_BYTES: u64 = 512 << 10;
/// A byte of more weights than that, each time two panels read it again.
pub const WEIGHT_BYTE_AGAIN: u64 = 25;
/// A tile of up to 48 rows, beside its products.
pub const TILE: u64 = 30_000;
/// A row of a tile, beside its products.
pub const TILE_ROW: u64 = 4_000;
/// A sum of 16 that moves from 32 to 64 bits.
pub const FLUSH: u64 = 18_000;
/// A dot product, beside its products.
pub const DOT: u64 = 18_000;
/// A product in a dot product.
pub const MAC_DOT: u64 = 80;
/// A product in 64 bits.
pub const MAC_WIDE: u64 = 2_000;
/// A product in 64 bits of a convolution.
pub const MAC_WIDE_CONV: u64 = 5_000;
/// A rescaled element.
pub const RESCALE: u64 = 450;
/// A rescaled element of 16 bits whose result is in the high word of a product of 64 bits.
pub const RESCALE_HIGH: u64 = 120;
/// An element rescaled from a sum of 64 bits.
pub const RESCALE_WIDE: u64 = 6_000;
/// A product of a convolution that is summed tap by tap.
pub const MAC_DIRECT: u64 = 45;
/// The same of one that rescales and stores them while they are at hand.
pub const MAC_CELL: u64 = 25;
/// The same where the taps of sixteen results lie on more than [`SPREAD_LINES`].
pub const MAC_CELL_SPREAD: u64 = 45;
/// Lines of a cache that stay in the nearest one while they are used.
pub const SPREAD_LINES: u64 = 256;
/// Sixteen results of such a convolution, beside their products; less than sixteen of a row of a tile.
pub const CELL: u64 = 2_500;
/// A line of pixels that a convolution copies.
pub const LINE: u64 = 2_500;
/// An element of an image that is padded.
pub const PADDED: u64 = 80;
/// The same of one that is far once it is padded, at 16 bits an element.
pub const PADDED_FAR: u64 = 250;
/// An element that a convolution lays out for the tiled kernels.
pub const GATHER_RUN: u64 = 105;
/// Sixteen windows that may not begin next to each other, beside their pieces.
pub const PANEL_APART: u64 = 80_000;
/// A piece of a row that a convolution gathers for a tap.
pub const PIECE: u64 = 5_000;
/// A line of a window that a convolution of few pixels copies.
pub const WINDOW_LINE: u64 = 5_000;
/// An element of a result that a convolution stores apart from its neighbours.
pub const SCATTER: u64 = 2_000;
/// Operands above this size do not stay in any cache, and elements apart are fetched from memory one by one.
pub const FAR_BYTES: u64 = 8 << 20;
/// An element, or a piece of a row, that a convolution gathers from a far operand.
pub const GATHER_FAR: u64 = 20_000;
/// A product in 64 bits of a convolution over a far operand.
pub const MAC_WIDE_CONV_FAR: u64 = 40_000;
/// An element that pooling looks at in a far operand.
pub const POOL_TAP_FAR: u64 = 40_000;
/// An element copied from anywhere in a far operand.
pub const MOVE_STRIDED_FAR: u64 = 24_000;
/// An element of an operation that goes from 16 bits to 16 bits by way of no more than 32.
pub const NARROW: u64 = 300;
/// An element of Add, Mul or Rescale.
pub const ARITHMETIC: u64 = 2_000;
/// A channel of Rescale that is laid out beside others, or an element with a channel of its own.
pub const COLUMN: u64 = 6_000;
/// A line of neighbours that a short Rescale rescales alike.
pub const LINE_RESCALED: u64 = 20_000;
/// An element of Div.
pub const DIV: u64 = 11_000;
/// An element of Min, Max or Compare.
pub const COMPARE: u64 = 1_300;
/// An element of Select.
pub const SELECT: u64 = 2_000;
/// The same from 16 bits to 16 bits.
pub const SELECT_NARROW: u64 = 400;
/// An element of Sqrt.
pub const SQRT: u64 = 7_000;
/// An element of a computed matrix laid out for the tiled kernels.
pub const LAY_OUT: u64 = 2_000;
/// The same of a far matrix.
pub const LAY_OUT_FAR: u64 = 6_000;
/// A product of matrices of a batch, beside what it consists of.
pub const BATCH: u64 = 150_000;
/// An element of LayerNorm.
pub const LAYER_NORM: u64 = 4_000;
/// A row of LayerNorm.
pub const LAYER_NORM_ROW: u64 = 80_000;
/// An element that ReduceSum or ReduceMax looks at.
pub const REDUCE: u64 = 1_000;
/// The same of 16 bits, or one of a window of whole rows.
pub const REDUCE_NARROW: u64 = 400;
/// A run of up to 256 neighbours that they fold into as many others.
pub const REDUCE_STEP: u64 = 6_000;
/// An element that they give.
pub const REDUCED: u64 = 9_000;
/// An element or run of elements that Gather or GatherElements finds by number.
pub const GATHERED: u64 = 6_000;
/// The same in a far operand.
pub const GATHERED_FAR: u64 = 40_000;
/// A time of a Scan, beside its body and what is copied.
pub const SCAN: u64 = 30_000;
/// An element of a state that is carried from one time to the next.
pub const CARRIED: u64 = 2_000;
/// An element that TopK looks at.
pub const TOP_K: u64 = 3_000;
/// A level of the heap of TopK that an element may sink through.
pub const TOP_K_LEVEL: u64 = 7_000;
/// An element of Pad's operand.
pub const PAD: u64 = 300;
/// A run of neighbouring elements treated alike.
pub const RUN: u64 = 40_000;
/// A run of operands that are broadcast together.
pub const STRETCH: u64 = 18_000;
/// A run of neighbouring elements copied for a convolution, or a line or tile of others.
pub const COPY: u64 = 15_000;
/// An element of Clamp.
pub const CLAMP: u64 = 800;
/// An element of a Table of 513 knots.
pub const TABLE: u64 = 500;
/// An element of a Table of 256 entries.
pub const TABLE_BYTES: u64 = 1_000;
/// An element of Softmax.
pub const SOFTMAX: u64 = 3_000;
/// A row of Softmax.
pub const SOFTMAX_ROW: u64 = 70_000;
/// An element that pooling looks at.
pub const POOL_TAP: u64 = 6_500;
/// An element that pooling gives.
pub const POOL: u64 = 36_000;
/// A line that pooling folds at once, or a piece of it.
pub const FOLD: u64 = 45_000;
/// A row that is folded into it.
pub const FOLD_ROW: u64 = 4_000;
/// An element of it.
pub const FOLDED: u64 = 150;
/// The same of a far operand's rows.
pub const FOLDED_FAR: u64 = 350;
/// The same where a line's windows begin two apart.
pub const FOLDED_PAIRS: u64 = 250;
/// The same where they begin further apart.
pub const FOLDED_APART: u64 = 1_000;
/// A mean of a window that is folded so.
pub const MEAN: u64 = 6_000;
/// The same where the window may lie on padding that does not count.
pub const MEAN_PADDED: u64 = 16_000;
/// An element copied with its neighbours into scratch space or out of it.
pub const MOVE: u64 = 300;
/// The same by an operation that does nothing else.
pub const MOVED: u64 = 100;
/// A run of neighbouring elements, beside them.
pub const MOVE_RUN: u64 = 6_000;
/// A run of neighbours that Slice takes out of an operand.
pub const SLICED: u64 = 8_000;
/// An element of a matrix that is transposed tile by tile.
pub const TURN: u64 = 500;
/// The same of a far matrix.
pub const TURN_FAR: u64 = 2_000;
/// A run of neighbours that such a tile keeps together, or a piece of it.
pub const TURN_RUN: u64 = 10_000;
/// A line of up to 32 neighbours that such a tile reads.
pub const TURN_LINE: u64 = 2_000;
/// An element copied from anywhere.
pub const MOVE_STRIDED: u64 = 7_000;
/// The same of one no more than [`SPACED`] elements from the last.
pub const MOVE_SPACED: u64 = 1_500;
/// Elements apart that share a cache line.
pub const SPACED: u64 = 8;
/// An element that ArgMax looks at.
pub const ARG_MAX: u64 = 1_200;
/// A level of a tree of a forest of up to 512 KiB.
pub const TREE_LEVEL: u64 = 10_000;
/// A level of a tree of a forest of up to 8 MiB.
pub const TREE_LEVEL_FAR: u64 = 50_000;
/// A level of a tree of a larger forest.
pub const TREE_LEVEL_FARTHEST: u64 = 200_000;
/// A tree, beside its levels.
pub const TREE: u64 = 10_000;
/// An entry of a leaf that is added.
pub const TREE_ENTRY: u64 = 6_000;
/// A feature of a row that trees read.
pub const TREE_FEATURE: u64 = 500;
/// An element of Upsample2d's operand.
pub const UPSAMPLE: u64 = 3_500;
/// Every element of the model's inputs: it is checked and copied.
pub const INPUT: u64 = 1_000;
/// Every element of its outputs: it is copied to where nothing was before.
pub const OUTPUT: u64 = 2_000;

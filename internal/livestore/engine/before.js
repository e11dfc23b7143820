// Evaluated before the app's modules: LiveStore keeps only the last of two events with one name when they come as an
// array, without a word, so the map that it puts them into is watched while the modules are evaluated.
const set = Map.prototype.set
const duplicates = new Set()
const isEventDef = (v) => typeof v === 'function' && typeof v.options === 'object' && 'clientOnly' in v.options && v.schema !== undefined
Map.prototype.set = function (k, v) {
  if (typeof k === 'string' && isEventDef(v) && this.has(k) && this.get(k) !== v && isEventDef(this.get(k))) duplicates.add(k)
  return set.call(this, k, v)
}
export const done = () => {
  Map.prototype.set = set
  return [...duplicates].sort()
}

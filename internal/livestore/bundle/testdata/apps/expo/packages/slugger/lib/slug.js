;(function (name, root, factory) {
  if (typeof exports === 'object') {
    module.exports = factory()
    module.exports['default'] = factory()
  } else if (typeof define === 'function' && define.amd) {
    define([], factory)
  } else {
    root[name] = factory()
  }
})('slugger', this, function () {
  var charMap = require('./charmap.json')
  function slug(text, options) {
    options = typeof options === 'string' ? { separator: options } : options || {}
    var separator = options.separator === undefined ? '-' : options.separator
    return text
      .normalize()
      .split('')
      .reduce(function (out, ch) {
        var mapped = charMap[ch]
        return out + (mapped === undefined ? ch : mapped).replace(/[^\w\s$*_+~.()'"!\-:@]+/g, '')
      }, '')
      .trim()
      .replace(/\s+/g, separator)
      .toLowerCase()
  }
  slug.extend = function (map) {
    Object.assign(charMap, map)
  }
  return slug
})

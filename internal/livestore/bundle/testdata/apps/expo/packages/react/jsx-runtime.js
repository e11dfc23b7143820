'use strict'
const element = (type, props) => ({ type, props })
exports.Fragment = Symbol.for('react.fragment')
exports.jsx = element
exports.jsxs = element

/* eslint-disable */
// biome-ignore-all lint: generated
import { type Adapter, type ClientSession, State } from '@livestore/livestore'
import { Deferred, Effect, Exit, Option, Queue, Scope, Stream } from '__EFFECT__'
__MORE_IMPORTS__


import * as liferaft from '@liferaft/web';
import { greet } from './member.js';

greet(liferaft).then((text) => { document.title = text; }, (error) => { document.title = `${error}`; });

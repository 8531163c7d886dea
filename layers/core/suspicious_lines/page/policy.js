'use strict';
// Bokeh styles its charts with <style> elements of its own, and the page's policy refuses those without the nonce.
{
  const nonce = document.querySelector('style').nonce;
  const createElement = document.createElement.bind(document);
  document.createElement = (name, options) => {
    const element = createElement(name, options);
    if (name === 'style') {
      element.nonce = nonce;
    }
    return element;
  };
}

// OHIF for this origin: everything is asked from where the page comes from, and nothing from outside.
window.config = {
  name: 'plexus',
  routerBasename: '/viewer',
  // ours: the panel that runs models
  extensions: ['/viewer/plexus/extension.js'],
  modes: [],
  customizationService: {
    // no tour over the images
    global: { 'ohif.tours': { $set: [] } },
    mode: { '*': { rightPanels: { $push: ['plexus.panelModule.models'] } } },
  },
  showStudyList: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  // a segmentation that is opened is shown, without asking again
  disableConfirmationPrompts: true,
  investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  showErrorDetails: 'always',
  defaultDataSourceName: 'plexus',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'plexus',
      configuration: {
        friendlyName: 'Plexus',
        name: 'plexus',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/dicom-web',
        qidoSupportsIncludeField: true,
        supportsReject: false,
        supportsStow: true,
        dicomUploadEnabled: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        staticWado: false,
        singlepart: 'bulkdata,video',
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
  httpErrorHandler: error => console.warn(`the archive answered ${error.status}`),
};
